// The metric that feedback lowers, for each row: e H e^T = sum over k of D_k g_k^2, g = e L, e what rounding
// changed in the row.
#pragma once

#include "feedback/triangle.hpp"

#include <octavo/lane.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace octavo::feedback {

// Sums in f64 in the lane's memory, beginning with 0, to which operations add.
class RowMetric {
 public:
  RowMetric(octavo_lane& lane, std::int64_t rows, std::span<const float> pivots);

  // Of columns [begin, begin + count).
  octavo_tensor pivots(std::int64_t begin, std::int64_t count) const;
  octavo_tensor& view() { return sums_.view(); }  // f64 [rows, 1]

  // Waits for what was issued.
  std::vector<double> sums() const;

 private:
  octavo_lane& lane_;
  std::span<const float> host_pivots_;
  LaneMatrix lane_pivots_;  // on a device
  LaneMatrix sums_;
};

// The metric of what is left of the weight (f32 [rows, cols], the lane's memory), `block` columns at a time.
RowMetric measure(octavo_lane& lane, const octavo_tensor& residual, const Triangle& triangle,
                  std::int64_t block);

}  // namespace octavo::feedback
