#include "feedback/row_metric.hpp"

#include "feedback/lane_steps.hpp"

#include <algorithm>

namespace octavo::feedback {

void RowMetric::add(octavo_lane& lane, const octavo_tensor& part, std::int64_t col_begin) {
  const HostCopy values(lane, part);
  const float* pivots = pivots_.data() + col_begin;
  for (std::size_t r = 0; r < sums_.size(); ++r) {
    const float* g = row_of<float>(values.view(), static_cast<std::int64_t>(r));
    double sum = 0.0;
    for (std::int64_t k = 0; k < part.shape[1]; ++k) sum += double{pivots[k]} * g[k] * g[k];
    sums_[r] += sum;
  }
}

RowMetric measure(octavo_lane& lane, const octavo_tensor& residual, const octavo_tensor& lower,
                  std::span<const float> pivots, std::int64_t block) {
  const std::int64_t rows = residual.shape[0], cols = residual.shape[1];
  RowMetric metric(rows, pivots);
  LaneMatrix g(lane, OCTAVO_F32, rows, std::min(block, cols));
  for (std::int64_t begin = 0; begin < cols; begin += block) {
    const std::int64_t width = std::min(block, cols - begin);
    const octavo_tensor part = cols_of(g.view(), 0, width);
    multiply(lane, cols_of(residual, begin, cols - begin), part_of(lower, begin, cols - begin, begin, width),
             part, Sum::replace);
    metric.add(lane, part, begin);
  }
  return metric;
}

}  // namespace octavo::feedback
