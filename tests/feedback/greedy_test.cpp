#include "feedback/greedy.hpp"

#include "problem.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace octavo::test {
namespace {

// The metrics of rows after coordinate descent in f64, written from the definition: a code moves to the exact
// minimiser in it, columns with the largest H_kk first, until none moves.
std::vector<double> descended(const Values& weight, const Values& scales, std::vector<int> codes,
                              const Rows& h) {
  const auto cols = static_cast<std::size_t>(weight.cols);
  std::vector<std::size_t> order(cols);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return h[a][a] > h[b][b]; });
  std::vector<double> metrics;
  for (std::int64_t r = 0; r < weight.rows; ++r) {
    const double scale = scales.at(r, 0);
    std::vector<double> e(cols);
    int* row = codes.data() + static_cast<std::size_t>(r) * cols;
    for (std::size_t k = 0; k < cols; ++k) e[k] = weight.at(r, static_cast<std::int64_t>(k)) - row[k] * scale;
    for (bool moved = true; moved;) {
      moved = false;
      for (const std::size_t k : order) {
        double gradient = 0;
        for (std::size_t i = 0; i < cols; ++i) gradient += e[i] * h[i][k];
        const double wanted =
            std::clamp(row[k] + std::nearbyint(gradient / (scale * h[k][k])), -127.0, 127.0);
        if (wanted == row[k]) continue;
        moved = true;
        row[k] = static_cast<int>(wanted);
        e[k] = weight.at(r, static_cast<std::int64_t>(k)) - row[k] * scale;
      }
    }
    metrics.push_back(metric(e, h));
  }
  return metrics;
}

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
  const std::vector<int> nearest(codes.begin(), codes.end());
  for (int pass = 0; pass < 20; ++pass) {
    const std::int64_t changed = feedback::greedy_passes(host.lane, band, h32.view(), 1);
    const std::vector<double> after = row_metrics();
    for (std::size_t r = 0; r < after.size(); ++r) BOOST_TEST(after[r] <= before[r] * (1 + 1e-9));
    before = after;
    if (changed == 0) break;
  }
  // Where f32 decides a near tie otherwise the descent goes on to another minimum, as good on the whole.
  const std::vector<double> expected = descended(weight, scales, nearest, h);
  BOOST_TEST(std::accumulate(before.begin(), before.end(), 0.0) <=
             1.02 * std::accumulate(expected.begin(), expected.end(), 0.0));
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
