#include "feedback/row_metric.hpp"

#include "feedback/lane_steps.hpp"

#include <algorithm>

namespace octavo::feedback {

RowMetric::RowMetric(octavo_lane& lane, std::int64_t rows, std::span<const float> pivots)
    : lane_(lane), host_pivots_(pivots), sums_(lane, OCTAVO_F64, rows, 1) {
  const std::vector<double> zeros(static_cast<std::size_t>(rows), 0.0);
  upload(lane, zeros.data(), sums_.view());
  if (!on_device(lane)) return;
  lane_pivots_ = LaneMatrix(lane, OCTAVO_F32, 1, static_cast<std::int64_t>(pivots.size()));
  upload(lane, pivots.data(), lane_pivots_.view());
}

octavo_tensor RowMetric::pivots(std::int64_t begin, std::int64_t count) const {
  const octavo_tensor all = on_device(lane_)
                                ? lane_pivots_.view()
                                : tensor_view(const_cast<float*>(host_pivots_.data()), OCTAVO_F32,
                                              {1, static_cast<std::int64_t>(host_pivots_.size())});
  return cols_of(all, begin, count);
}

std::vector<double> RowMetric::sums() const {
  std::vector<double> values(static_cast<std::size_t>(sums_.view().shape[0]));
  copy_bytes(lane_, values.data(), OCTAVO_MEMORY_HOST, sums_.view().data, lane_.memory,
             values.size() * sizeof(double));
  wait_for(lane_);
  return values;
}

RowMetric measure(octavo_lane& lane, const octavo_tensor& residual, const Triangle& triangle,
                  std::int64_t block) {
  const std::int64_t rows = residual.shape[0], cols = residual.shape[1], group = triangle.group(lane, block);
  RowMetric metric(lane, rows, triangle.pivots);
  LaneMatrix g(lane, OCTAVO_F32, rows, std::min(group, cols));
  Feed feed(lane, triangle, residual);
  for (std::int64_t end = cols; end > 0;) {
    const std::int64_t begin = (end - 1) / group * group, width = end - begin;
    const octavo_tensor part = cols_of(g.view(), 0, width), pivots = metric.pivots(begin, width);
    const auto multiply_on = feed.into(begin, end, part) ? multiply_add : multiply;
    multiply_on(lane, cols_of(residual, begin, width), triangle.part(begin, width, begin, width), part);
    issue(lane, &octavo_operations::row_metric, &part, &pivots, &metric.view());
    feed.take(begin, end);
    end = begin;
  }
  return metric;
}

}  // namespace octavo::feedback
