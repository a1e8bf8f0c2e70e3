#include "calibration/row_sample.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <numeric>
#include <set>

namespace octavo::calibration {
namespace {

BOOST_AUTO_TEST_SUITE(row_sample)

BOOST_AUTO_TEST_CASE(few_rows_are_all_kept) {
  const std::vector<int64_t> all = {0, 1, 2, 3, 4};
  BOOST_TEST(sampled_rows(5, 5, 0, "a") == all, boost::test_tools::per_element());
  BOOST_TEST(sampled_rows(5, 2048, 0, "a") == all, boost::test_tools::per_element());
  BOOST_TEST(sampled_rows(0, 3, 0, "a").empty());
}

BOOST_AUTO_TEST_CASE(a_sample_is_ascending_without_repeats_and_within) {
  const std::vector<int64_t> rows = sampled_rows(5000, 700, 1, "layer");
  BOOST_TEST(rows.size() == 700u);
  BOOST_TEST(std::is_sorted(rows.begin(), rows.end()));
  BOOST_TEST(std::set<int64_t>(rows.begin(), rows.end()).size() == 700u);
  BOOST_TEST(rows.front() >= 0);
  BOOST_TEST(rows.back() < 5000);
}

BOOST_AUTO_TEST_CASE(it_depends_on_seed_and_name_and_on_nothing_else) {
  const std::vector<int64_t> rows = sampled_rows(3000, 100, 7, "a");
  BOOST_TEST(rows == sampled_rows(3000, 100, 7, "a"), boost::test_tools::per_element());
  BOOST_TEST((rows != sampled_rows(3000, 100, 8, "a")));
  BOOST_TEST((rows != sampled_rows(3000, 100, 7, "b")));
}

// Every row is kept with probability 1/4: over 400 samples a row's count has mean 100 and deviation 8.7.
BOOST_AUTO_TEST_CASE(every_row_is_as_likely_as_any_other) {
  std::vector<int> counts(200);
  for (uint64_t seed = 0; seed < 400; ++seed) {
    for (const int64_t row : sampled_rows(200, 50, seed, "layer")) ++counts[static_cast<size_t>(row)];
  }
  BOOST_TEST(std::accumulate(counts.begin(), counts.end(), 0) == 400 * 50);
  BOOST_TEST(*std::min_element(counts.begin(), counts.end()) > 100 - 5 * 8.7);
  BOOST_TEST(*std::max_element(counts.begin(), counts.end()) < 100 + 5 * 8.7);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::calibration
