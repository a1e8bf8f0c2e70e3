#define BOOST_TEST_MODULE octavo_plugin
#include <boost/test/unit_test.hpp>
