#include "similar_reasons.hpp"

#include <boost/test/unit_test.hpp>

using octavo::cli::SimilarReasons;

BOOST_AUTO_TEST_SUITE(similar_reasons)

BOOST_AUTO_TEST_CASE(numbers_become_ranges) {
  SimilarReasons reasons;
  reasons.add("held-out error 101.5 % of nearest's on int8, 4 rows", "b");
  reasons.add("no inputs", "c");
  reasons.add("held-out error 100.25 % of nearest's on int8, 4 rows", "a");
  reasons.add("held-out error 112 % of nearest's on int8, 4 rows", "d");
  reasons.add("held-out error 101 % of nearest's on int4, 4 rows", "e");
  BOOST_REQUIRE(reasons.groups().size() == 3u);
  BOOST_TEST(reasons.groups()[0].text() == "held-out error 100.25 to 112 % of nearest's on int8, 4 rows");
  BOOST_TEST(reasons.groups()[0].count == 3u);
  BOOST_TEST(reasons.groups()[0].first == "b");
  BOOST_TEST(reasons.groups()[1].text() == "no inputs");
  BOOST_TEST(reasons.groups()[1].count == 1u);
  BOOST_TEST(reasons.groups()[2].text() == "held-out error 101 % of nearest's on int4, 4 rows");
}

BOOST_AUTO_TEST_CASE(ends_of_a_text) {
  SimilarReasons reasons;
  reasons.add("3", "a");
  reasons.add("2", "b");
  reasons.add("", "c");
  reasons.add("ends with 7.", "d");
  BOOST_REQUIRE(reasons.groups().size() == 3u);
  BOOST_TEST(reasons.groups()[0].text() == "2 to 3");
  BOOST_TEST(reasons.groups()[1].text() == "");
  BOOST_TEST(reasons.groups()[2].text() == "ends with 7.");
}

BOOST_AUTO_TEST_SUITE_END()
