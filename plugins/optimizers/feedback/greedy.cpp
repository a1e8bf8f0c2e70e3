// With r = weight - stored and G = r H, moving code k by t changes the metric by t s (t s H_kk - 2 G_k):
// smallest at t = G_k / (s H_kk), and among integers at the nearest one. Columns with the largest H_kk come
// first. A code moves only where |G_k / (s H_kk)| is beyond one half by more than the rounding of G, so that
// no step loses.
#include "feedback/greedy.hpp"

#include "feedback/lane_steps.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace octavo::feedback {
namespace {

constexpr float kClearlyBeyondHalf = 0.5005f;

std::vector<std::int64_t> by_diagonal(const octavo_tensor& hessian) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(hessian.shape[0]));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return row_of<float>(hessian, a)[a] > row_of<float>(hessian, b)[b];
  });
  return order;
}

float scale_at(const Band& band, std::int64_t row, std::int64_t col) {
  const octavo_scale_level& level = band.grid.scales[0];
  const std::int64_t scale_row = level.granularity == OCTAVO_PER_TENSOR  ? 0
                                 : level.granularity == OCTAVO_PER_BLOCK ? row / level.block_rows
                                                                         : row;
  const bool columns = level.granularity == OCTAVO_PER_BLOCK || level.granularity == OCTAVO_PER_GROUP;
  return row_of<float>(band.scales, scale_row)[columns ? col / level.block_cols : 0];
}

// One pass over a row; `g` is its residual times H and follows every change.
std::int64_t pass_over_row(const Band& band, const octavo_tensor& hessian,
                           const std::vector<std::int64_t>& order, std::int64_t row, float* g) {
  auto* codes = row_of<std::int8_t>(band.codes, row);
  float* residual = row_of<float>(band.residual, row);
  std::int64_t changed = 0;
  for (const std::int64_t k : order) {
    const float* line = row_of<float>(hessian, k);
    const float scale = scale_at(band, row, k);
    const float steps = g[k] / (scale * line[k]);
    if (!(std::fabs(steps) > kClearlyBeyondHalf)) continue;
    const float wanted = std::clamp(static_cast<float>(codes[k]) + std::rint(steps),
                                    static_cast<float>(band.grid.qmin), static_cast<float>(band.grid.qmax));
    const float moved = (wanted - static_cast<float>(codes[k])) * scale;
    if (moved == 0.0f) continue;
    codes[k] = static_cast<std::int8_t>(wanted);
    residual[k] -= moved;
    for (std::int64_t i = 0; i < hessian.shape[1]; ++i) g[i] -= moved * line[i];
    ++changed;
  }
  return changed;
}

}  // namespace

std::int64_t greedy_passes(octavo_lane& lane, const Band& band, const octavo_tensor& hessian,
                           std::int64_t passes) {
  const std::int64_t rows = band.residual.shape[0], cols = band.residual.shape[1];
  const std::vector<std::int64_t> order = by_diagonal(hessian);
  LaneMatrix g(lane, OCTAVO_F32, rows, cols);
  std::int64_t changed = 0;
  for (std::int64_t pass = 0; pass < passes; ++pass) {
    multiply(lane, band.residual, hessian, g.view());  // afresh: errors of the updates do not add up
    std::int64_t changed_now = 0;
    for (std::int64_t r = 0; r < rows; ++r) {
      if (r % 64 == 0) check_cancelled(lane);
      changed_now += pass_over_row(band, hessian, order, r, row_of<float>(g.view(), r));
    }
    changed += changed_now;
    if (changed_now == 0) break;
  }
  return changed;
}

}  // namespace octavo::feedback
