#define BOOST_TEST_MODULE octavo_backend
#include <boost/test/unit_test.hpp>
