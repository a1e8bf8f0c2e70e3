// Implicit factors against the textbook's in f64: what they are, what is fed with them, what they are told.
#include "feedback/factor.hpp"
#include "feedback/ldlq.hpp"
#include "feedback/triangle.hpp"
#include "problem.hpp"

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

namespace octavo::test {
namespace {

constexpr std::int64_t kRows = 21, kCols = 96, kSamples = 20;

// Row i of L, its parts put together.
std::vector<double> row_of_lower(const feedback::Factor& made, std::int64_t i, std::int64_t group) {
  std::vector<double> row(static_cast<std::size_t>(kCols), 0.0);
  for (std::int64_t k = 0; k <= i; ++k) {
    double& entry = row[static_cast<std::size_t>(k)];
    if (k / group == i / group) {
      entry = row_of<float>(made.lower.view, i)[k % group];
      continue;
    }
    for (std::int64_t s = 0; s < made.inputs.view.shape[0]; ++s)
      entry += double{row_of<float>(made.inputs.view, s)[i]} * row_of<float>(made.gains.view, s)[k];
  }
  return row;
}

void check_factor(const feedback::Factor& made, const Rows& h, std::int64_t group) {
  check_triangle(made.pivots, h, [&](std::int64_t i) { return row_of_lower(made, i, group); });
}

BOOST_AUTO_TEST_SUITE(implicit_factor)

BOOST_DATA_TEST_CASE(it_is_that_of_the_damped_hessian,
                     boost::unit_test::data::make({1, 16, 40, 96, 128}) *
                         boost::unit_test::data::make({0.01, 1.0}),
                     group, damping) {
  ReferenceLane host;
  Values samples = correlated(1, kSamples, kCols);
  feedback::ThinHessian thin(host.lane, samples.view(), group);
  const auto made = thin.factor(host.lane, kSamples, {damping});
  BOOST_REQUIRE(made.has_value());
  check_factor(*made, hessian(samples, damping), group);
  BOOST_TEST(made->note == "");
  BOOST_TEST(made->damping == damping);
}

// More than are added up at a time.
BOOST_AUTO_TEST_CASE(it_is_that_of_many_samples) {
  ReferenceLane host;
  Values samples = correlated(1, 700, kCols);
  feedback::ThinHessian thin(host.lane, samples.view(), 32);
  const auto made = thin.factor(host.lane, samples.rows, {0.1});
  BOOST_REQUIRE(made.has_value());
  check_factor(*made, hessian(samples, 0.1), 32);
}

BOOST_AUTO_TEST_CASE(it_is_of_the_first_samples) {
  ReferenceLane host;
  Values samples = correlated(1, kSamples, kCols), first(15, kCols);
  std::copy_n(samples.data.begin(), first.data.size(), first.data.begin());
  feedback::ThinHessian thin(host.lane, samples.view(), 32);
  check_factor(*thin.factor(host.lane, 15, {0.1}), hessian(first, 0.1), 32);
  check_factor(*thin.factor(host.lane, kSamples, {0.1}), hessian(samples, 0.1), 32);
}

BOOST_AUTO_TEST_CASE(columns_go_by_activity_and_silent_ones_stand_alone) {
  ReferenceLane host;
  Values samples = correlated(1, kSamples, kCols);
  for (std::int64_t r = 0; r < kSamples; ++r) {
    samples.at(r, 5) = 0;
    samples.at(r, 7) *= 10;
  }
  feedback::ThinHessian thin(host.lane, samples.view(), 32);
  const auto made = thin.factor(host.lane, kSamples, {0.1, true});
  BOOST_REQUIRE(made.has_value());
  BOOST_REQUIRE(made->order.size() == static_cast<std::size_t>(kCols));
  BOOST_TEST(made->order.back() == 7);
  check_factor(*made, in_order(hessian(samples, 0.1), made->order), 32);
}

BOOST_AUTO_TEST_CASE(too_little_damping_is_raised_and_said) {
  ReferenceLane host;
  Values samples(kSamples, kCols);  // one direction only, and damping below the resolution of f32 beside it
  for (std::int64_t r = 0; r < samples.rows; ++r) {
    for (std::int64_t c = 0; c < kCols; ++c) samples.at(r, c) = static_cast<float>(r % 5 + 1);
  }
  feedback::ThinHessian thin(host.lane, samples.view(), 32);
  const auto made = thin.factor(host.lane, kSamples, {1e-9});
  BOOST_REQUIRE(made.has_value());
  BOOST_TEST(made->note != "");
  for (const float pivot : made->pivots) BOOST_TEST(pivot > 0.0f);
}

BOOST_AUTO_TEST_CASE(nothing_comes_of_no_inputs_or_of_nan) {
  ReferenceLane host;
  Values zeros(kSamples, kCols), wrong = correlated(1, kSamples, kCols);
  wrong.at(3, 3) = std::nanf("");
  for (Values* samples : {&zeros, &wrong})
    BOOST_CHECK(!feedback::ThinHessian(host.lane, samples->view(), 32).factor(host.lane, kSamples, {0.1}));
}

BOOST_AUTO_TEST_CASE(the_expected_share_is_that_of_a_whole_factor) {
  ReferenceLane host;
  Values samples = correlated(1, kSamples, kCols), others = correlated(2, 60, kCols);
  feedback::ThinHessian thin(host.lane, samples.view(), 32);
  feedback::Hessian whole(host.lane, kCols);
  whole.add(host.lane, samples.view());
  BOOST_TEST(feedback::expected_share(host.lane, *thin.factor(host.lane, kSamples, {1.0}), others.view()) ==
                 feedback::expected_share(host.lane, *whole.factor(host.lane, {1.0}), others.view()),
             boost::test_tools::tolerance(1e-4));
}

BOOST_DATA_TEST_CASE(codes_and_metric_are_those_of_the_definition_in_f64,
                     boost::unit_test::data::make({1, 8, 32}), block) {
  ReferenceLane host;
  const octavo_layer layer = layer_of(kRows, kCols);
  const octavo_grid grid = int8_grid(layer, scale_level(OCTAVO_PER_ROW));
  Values samples = correlated(2, kSamples, kCols), weight = gaussian(1, kRows, kCols), scales(kRows, 1);
  for (std::int64_t r = 0; r < kRows; ++r) scales.at(r, 0) = 4.0f / 127.0f;
  const Rows h = hessian(samples, 0.1);
  const Ldl ldl = factor(h);
  feedback::ThinHessian thin(host.lane, samples.view(), 32);
  const auto made = thin.factor(host.lane, kSamples, {0.1});
  BOOST_REQUIRE(made.has_value());
  const feedback::FactorOnLane factor(host.lane, *made);
  Values band = weight;  // its residual takes its place
  std::vector<std::int8_t> codes(static_cast<std::size_t>(kRows * kCols));
  const feedback::Band rounded{grid, band.view(), scales.view(),
                               tensor_view(codes.data(), OCTAVO_I8, {kRows, kCols}), band.view()};
  const std::vector<double> with =
      feedback::round_with_feedback(host.lane, rounded, factor.triangle(), block).sums();
  const std::vector<double> measured =
      feedback::measure(host.lane, band.view(), factor.triangle(), block).sums();
  for (std::int64_t r = 0; r < kRows; ++r) {
    const auto at = static_cast<std::size_t>(r);
    const std::vector<double> row(weight.data.begin() + r * kCols, weight.data.begin() + (r + 1) * kCols);
    const std::vector<double> left(band.data.begin() + r * kCols, band.data.begin() + (r + 1) * kCols);
    const LdlqRow expected = ldlq_row(row, std::vector<double>(kCols, double{scales.at(r, 0)}), ldl.lower);
    const std::vector<int> found(codes.begin() + r * kCols, codes.begin() + (r + 1) * kCols);
    if (found != expected.codes) BOOST_TEST(expected.nearest_tie < 1e-3);
    BOOST_TEST(with[at] == metric(left, h), boost::test_tools::tolerance(1e-3));
    BOOST_TEST(measured[at] == metric(left, h), boost::test_tools::tolerance(1e-3));
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::test
