#include "feedback/ldlq.hpp"

#include "problem.hpp"

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

namespace octavo::test {
namespace {

constexpr std::int64_t kRows = 37, kCols = 96;

// Everything that rounding a band takes, with the scales of nearest.
struct Problem {
  explicit Problem(octavo_scale_level level)
      : layer(layer_of(kRows, kCols)),
        grid(int8_grid(layer, level)),
        weight(gaussian(1, kRows, kCols)),
        samples(correlated(2, 400, kCols)),
        h(hessian(samples, 0.01)),
        ldl(factor(h)),
        lower(kCols, kCols),
        residual(kRows, kCols),
        scales(scale_shape(level, kRows, kCols).rows, scale_shape(level, kRows, kCols).cols),
        codes(kRows * kCols) {
    for (std::int64_t i = 0; i < kCols; ++i) {
      for (std::int64_t k = 0; k < kCols; ++k)
        lower.at(i, k) =
            static_cast<float>(ldl.lower[static_cast<std::size_t>(i)][static_cast<std::size_t>(k)]);
    }
    for (const double pivot : ldl.pivots) pivots.push_back(static_cast<float>(pivot));
    for (std::int64_t r = 0; r < kRows; ++r) {
      for (std::int64_t c = 0; c < kCols; ++c) {
        float& scale = scale_of_element(r, c);
        scale = std::max(scale, std::fabs(weight.at(r, c)) / 127.0f);
      }
    }
  }
  float& scale_of_element(std::int64_t r, std::int64_t c) {
    const octavo_scale_level& level = grid.scales[0];
    if (level.granularity == OCTAVO_PER_TENSOR) return scales.at(0, 0);
    if (level.granularity == OCTAVO_PER_ROW) return scales.at(r, 0);
    return scales.at(r / level.block_rows, c / level.block_cols);
  }
  feedback::Band band() {
    return {grid, weight.view(), scales.view(), tensor_view(codes.data(), OCTAVO_I8, {kRows, kCols}),
            residual.view()};
  }
  feedback::Triangle triangle() { return {lower.view(), pivots}; }
  std::vector<double> row_of_weight(std::int64_t r) const {
    return {weight.data.begin() + r * kCols, weight.data.begin() + (r + 1) * kCols};
  }
  std::vector<double> row_of_residual(std::int64_t r) const {
    return {residual.data.begin() + r * kCols, residual.data.begin() + (r + 1) * kCols};
  }
  std::vector<double> row_of_scales(std::int64_t r) {
    std::vector<double> row;
    for (std::int64_t c = 0; c < kCols; ++c) row.push_back(scale_of_element(r, c));
    return row;
  }

  octavo_layer layer;
  octavo_grid grid;
  Values weight, samples;
  Rows h;
  Ldl ldl;
  Values lower, residual, scales;
  std::vector<std::int8_t> codes;
  std::vector<float> pivots;
};

const octavo_scale_level kLevels[] = {scale_level(OCTAVO_PER_ROW), scale_level(OCTAVO_PER_TENSOR),
                                      scale_level(OCTAVO_PER_BLOCK, 16, 32)};

BOOST_AUTO_TEST_SUITE(ldlq)

BOOST_DATA_TEST_CASE(codes_are_those_of_the_definition_in_f64,
                     boost::unit_test::data::xrange(3) *
                         (boost::unit_test::data::make({1, 7, 32, 128, 7, 32}) ^
                          boost::unit_test::data::make({1, 7, 32, 128, 21, 64})),
                     level, block, group) {
  ReferenceLane host;
  Problem problem(kLevels[level]);
  feedback::round_with_feedback(host.lane, problem.band(), problem.triangle(), block, group);
  int compared = 0;
  for (std::int64_t r = 0; r < kRows; ++r) {
    const LdlqRow expected = ldlq_row(problem.row_of_weight(r), problem.row_of_scales(r), problem.ldl.lower);
    const std::vector<int> found(problem.codes.begin() + r * kCols, problem.codes.begin() + (r + 1) * kCols);
    if (found != expected.codes) {
      BOOST_TEST(expected.nearest_tie < 1e-3,
                 "row " << r << " differs, and its nearest tie is " << expected.nearest_tie << " away");
      continue;
    }
    ++compared;
  }
  BOOST_TEST(compared > kRows * 9 / 10);
}

BOOST_DATA_TEST_CASE(the_metric_is_the_error_in_the_hessian, boost::unit_test::data::xrange(3), level) {
  ReferenceLane host;
  Problem problem(kLevels[level]);
  const std::vector<double> with =
      feedback::round_with_feedback(host.lane, problem.band(), problem.triangle(), 32).sums();
  double feedback_total = 0, nearest_total = 0;
  for (std::int64_t r = 0; r < kRows; ++r) {
    const double expected = metric(problem.row_of_residual(r), problem.h);
    BOOST_TEST(with[static_cast<std::size_t>(r)] == expected, boost::test_tools::tolerance(1e-4));
    feedback_total += expected;
  }
  feedback::round_to_nearest(host.lane, problem.band());
  const std::vector<double> without =
      feedback::measure(host.lane, problem.residual.view(), problem.triangle(), 40).sums();
  for (std::int64_t r = 0; r < kRows; ++r) {
    const double expected = metric(problem.row_of_residual(r), problem.h);
    BOOST_TEST(without[static_cast<std::size_t>(r)] == expected, boost::test_tools::tolerance(1e-4));
    nearest_total += expected;
  }
  BOOST_TEST(feedback_total < 0.4 * nearest_total);  // 4 dB: these inputs are strongly correlated
}

BOOST_AUTO_TEST_CASE(without_feedback_it_is_nearest) {
  ReferenceLane host;
  Problem problem(scale_level(OCTAVO_PER_ROW));
  feedback::round_to_nearest(host.lane, problem.band());
  for (std::int64_t r = 0; r < kRows; ++r) {
    for (std::int64_t c = 0; c < kCols; ++c) {
      const float scale = problem.scales.at(r, 0);
      BOOST_TEST(int{problem.codes[static_cast<std::size_t>(r * kCols + c)]} ==
                 static_cast<int>(std::nearbyint(problem.weight.at(r, c) / scale)));
    }
  }
}

BOOST_AUTO_TEST_CASE(it_stops_when_the_run_does) {
  ReferenceLane host;
  Problem problem(scale_level(OCTAVO_PER_ROW));
  host.services.cancel();
  BOOST_CHECK_EXCEPTION(feedback::round_with_feedback(host.lane, problem.band(), problem.triangle(), 32),
                        PluginError,
                        [](const PluginError& error) { return error.status() == OCTAVO_CANCELLED; });
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::test
