#define BOOST_TEST_MODULE octavo command line
#include <boost/test/unit_test.hpp>
