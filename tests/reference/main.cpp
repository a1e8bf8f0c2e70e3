#define BOOST_TEST_MODULE octavo_reference
#include <boost/test/unit_test.hpp>
