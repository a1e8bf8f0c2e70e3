#define BOOST_TEST_MODULE octavo_unit
#include <boost/test/unit_test.hpp>
