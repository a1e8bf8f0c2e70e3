#include "feedback/greedy.hpp"

#include "problem.hpp"

#include <boost/test/unit_test.hpp>

namespace octavo::test {
namespace {

BOOST_AUTO_TEST_SUITE(greedy)

BOOST_AUTO_TEST_CASE(no_step_loses_and_the_last_codes_are_minima) {
  constexpr std::int64_t kRows = 24, kCols = 64;
  ReferenceLane host;
  const octavo_layer layer = layer_of(kRows, kCols);
  const octavo_grid grid = int8_grid(layer, scale_level(OCTAVO_PER_ROW));
  Values weight = gaussian(3, kRows, kCols), residual(kRows, kCols), scales(kRows, 1), h32(kCols, kCols);
  const Rows h = hessian(correlated(4, 300, kCols), 0.1);
  for (std::int64_t i = 0; i < kCols; ++i) {
    for (std::int64_t k = 0; k < kCols; ++k)
      h32.at(i, k) = static_cast<float>(h[static_cast<std::size_t>(i)][static_cast<std::size_t>(k)]);
  }
  for (std::int64_t r = 0; r < kRows; ++r) {
    for (std::int64_t c = 0; c < kCols; ++c)
      scales.at(r, 0) = std::max(scales.at(r, 0), std::fabs(weight.at(r, c)) / 127.0f);
  }
  std::vector<std::int8_t> codes(kRows * kCols);
  const feedback::Band band{grid, weight.view(), scales.view(),
                            tensor_view(codes.data(), OCTAVO_I8, {kRows, kCols}), residual.view()};
  feedback::round_to_nearest(host.lane, band);
  const auto row_metrics = [&] {
    std::vector<double> all;
    for (std::int64_t r = 0; r < kRows; ++r) {
      std::vector<double> e;
      for (std::int64_t c = 0; c < kCols; ++c)
        e.push_back(double{weight.at(r, c)} -
                    codes[static_cast<std::size_t>(r * kCols + c)] * double{scales.at(r, 0)});
      all.push_back(metric(e, h));
    }
    return all;
  };
  std::vector<double> before = row_metrics();
  const double nearest = before[0];
  for (int pass = 0; pass < 20; ++pass) {
    const std::int64_t changed = feedback::greedy_passes(host.lane, band, h32.view(), 1);
    const std::vector<double> after = row_metrics();
    for (std::size_t r = 0; r < after.size(); ++r) BOOST_TEST(after[r] <= before[r] * (1 + 1e-9));
    before = after;
    if (changed == 0) break;
  }
  BOOST_TEST(before[0] < 0.8 * nearest);
  BOOST_TEST(feedback::greedy_passes(host.lane, band, h32.view(), 3) == 0);
  // No single step of one code lowers a row's metric any more.
  for (std::size_t k = 0; k < codes.size(); ++k) {
    for (const int step : {-1, 1}) {
      const std::int8_t kept = codes[k];
      codes[k] = static_cast<std::int8_t>(std::min(127, std::max(-127, kept + step)));
      const std::size_t row = k / kCols;
      BOOST_TEST(row_metrics()[row] >= before[row] * (1 - 1e-4));
      codes[k] = kept;
    }
    k += 40;  // a sample of them
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::test
