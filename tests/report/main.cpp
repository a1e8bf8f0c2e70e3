#define BOOST_TEST_MODULE octavo reports
#include <boost/test/unit_test.hpp>
