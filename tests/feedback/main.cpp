#define BOOST_TEST_MODULE feedback
#include <boost/test/unit_test.hpp>
