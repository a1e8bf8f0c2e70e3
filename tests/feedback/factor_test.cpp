#include "feedback/factor.hpp"

#include "problem.hpp"

#include <boost/test/unit_test.hpp>

#include <limits>

namespace octavo::test {
namespace {

constexpr std::int64_t kCols = 48;

std::optional<feedback::Factor> factor_of(Values& samples, double damping, bool ordered = false,
                                          bool keep = false) {
  ReferenceLane host;
  feedback::Hessian sums(host.lane, samples.cols);
  sums.add(host.lane, samples.view());
  return sums.factor(host.lane, {damping, ordered, keep});
}

void check_factor(const feedback::Factor& made, const Rows& h) {
  check_triangle(made.pivots, h, [&](std::int64_t i) { return row_of<float>(made.lower.view, i); });
}

BOOST_AUTO_TEST_SUITE(hessian_factor)

BOOST_AUTO_TEST_CASE(it_is_the_unit_triangle_of_the_damped_hessian) {
  Values samples = correlated(1, 300, kCols);
  const auto made = factor_of(samples, 0.1);
  BOOST_REQUIRE(made.has_value());
  check_factor(*made, hessian(samples, 0.1));
  BOOST_TEST(made->note == "");
  BOOST_TEST(made->damping == 0.1);
}

BOOST_AUTO_TEST_CASE(sums_of_parts_are_those_of_the_whole) {
  Values samples = correlated(1, 300, kCols);
  ReferenceLane host;
  feedback::Hessian sums(host.lane, kCols);
  sums.add(host.lane, rows_of(samples.view(), 0, 225));
  sums.add(host.lane, rows_of(samples.view(), 225, 75));
  check_factor(*sums.factor(host.lane, {0.1, false, false}), hessian(samples, 0.1));
  feedback::Hessian same = sums.copy(host.lane);
  check_factor(*sums.take_factor(host.lane, {0.1, false, false}), hessian(samples, 0.1));
  check_factor(*same.take_factor(host.lane, {1.0, false, false}), hessian(samples, 1.0));
}

BOOST_AUTO_TEST_CASE(a_channel_that_is_never_active_stands_alone) {
  Values samples = correlated(1, 300, kCols);
  for (std::int64_t r = 0; r < samples.rows; ++r) samples.at(r, 5) = 0;
  const auto made = factor_of(samples, 0.1);
  BOOST_REQUIRE(made.has_value());
  BOOST_TEST(made->pivots[5] == 1.1f, boost::test_tools::tolerance(1e-5f));
  for (std::int64_t i = 0; i < kCols; ++i) {
    if (i == 5) continue;
    BOOST_TEST(row_of<float>(made->lower.view, std::max<std::int64_t>(i, 5))[std::min<std::int64_t>(i, 5)] ==
               0.0f);
  }
}

BOOST_AUTO_TEST_CASE(fewer_samples_than_columns_are_enough_with_damping) {
  Values samples = correlated(1, 20, kCols);
  const auto made = factor_of(samples, 1.0);
  BOOST_REQUIRE(made.has_value());
  check_factor(*made, hessian(samples, 1.0));
}

BOOST_AUTO_TEST_CASE(too_little_damping_is_raised_and_said) {
  // One direction only, and damping below the resolution of f32 beside it.
  Values samples(20, kCols);
  for (std::int64_t r = 0; r < samples.rows; ++r) {
    for (std::int64_t c = 0; c < kCols; ++c) samples.at(r, c) = static_cast<float>(r % 5 + 1);
  }
  const auto made = factor_of(samples, 1e-9);
  BOOST_REQUIRE(made.has_value());
  BOOST_TEST(made->note != "");
  for (const float pivot : made->pivots) BOOST_TEST(pivot > 0.0f);
}

BOOST_AUTO_TEST_CASE(nothing_comes_of_no_inputs_or_of_nan) {
  Values zeros(20, kCols);
  BOOST_CHECK(!factor_of(zeros, 0.1));
  Values wrong = correlated(1, 20, kCols);
  wrong.at(3, 3) = std::numeric_limits<float>::quiet_NaN();
  BOOST_CHECK(!factor_of(wrong, 0.1));
  wrong.at(3, 3) = 3e38f;  // its square is beyond f32
  BOOST_CHECK(!factor_of(wrong, 0.1));
}

BOOST_AUTO_TEST_CASE(columns_go_by_activity_the_most_active_last) {
  Values samples = correlated(1, 300, kCols);
  for (std::int64_t r = 0; r < samples.rows; ++r) samples.at(r, 7) *= 10;
  const auto made = factor_of(samples, 0.1, true, true);
  BOOST_REQUIRE(made.has_value());
  BOOST_REQUIRE(made->order.size() == static_cast<std::size_t>(kCols));
  BOOST_TEST(made->order.back() == 7);
  const Rows permuted = in_order(hessian(samples, 0.1), made->order);
  for (std::size_t i = 0; i < permuted.size(); ++i) {
    for (std::size_t k = 0; k < permuted.size(); ++k) {
      BOOST_TEST(row_of<float>(made->hessian->view, static_cast<std::int64_t>(i))[k] == permuted[i][k],
                 boost::test_tools::tolerance(1e-3));
    }
  }
  check_factor(*made, permuted);
  for (std::size_t i = 1; i < permuted.size(); ++i)
    BOOST_TEST(permuted[i][i] >= permuted[i - 1][i - 1] - 1e-6);
}

BOOST_AUTO_TEST_CASE(the_expected_share_is_that_of_uniform_rounding_errors) {
  ReferenceLane host;
  Values samples = correlated(1, 400, kCols), others = correlated(2, 60, kCols);
  const auto made = factor_of(samples, 0.01);
  // e L = d with independent d: e H' e^T over d is tr(L^-T H' L^-1) times its variance.
  const Ldl exact = factor(hessian(samples, 0.01));
  double before = 0, after = 0;
  for (std::int64_t s = 0; s < others.rows; ++s) {
    std::vector<double> y(static_cast<std::size_t>(kCols));  // y L^T = x
    for (std::size_t k = 0; k < y.size(); ++k) {
      const double x = others.at(s, static_cast<std::int64_t>(k));
      before += x * x;
      y[k] = x;
      for (std::size_t j = 0; j < k; ++j) y[k] -= y[j] * exact.lower[k][j];
      after += y[k] * y[k];
    }
  }
  BOOST_TEST(feedback::expected_share(host.lane, *made, others.view()) == after / before,
             boost::test_tools::tolerance(1e-3));
  BOOST_TEST(after < 0.5 * before);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::test
