#define BOOST_TEST_DYN_LINK
#define BOOST_TEST_MODULE models
#include <boost/test/unit_test.hpp>
