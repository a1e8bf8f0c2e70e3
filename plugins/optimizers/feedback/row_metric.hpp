// The metric that feedback lowers, for each row: e H e^T = sum over k of D_k g_k^2, g = e L, e what rounding
// changed in the row.
#pragma once

#include <octavo/lane.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace octavo::feedback {

// Sums in f64, added up in the order of the calls.
class RowMetric {
 public:
  RowMetric(std::int64_t rows, std::span<const float> pivots)
      : pivots_(pivots), sums_(static_cast<std::size_t>(rows), 0.0) {}

  // Columns [col_begin, col_begin + part.shape[1]) of g, f32 in the lane's memory; the sign of g is of no
  // account.
  void add(octavo_lane& lane, const octavo_tensor& part, std::int64_t col_begin);

  const std::vector<double>& sums() const { return sums_; }

 private:
  std::span<const float> pivots_;
  std::vector<double> sums_;
};

// The metric of what is left of the weight (f32 [rows, cols], the lane's memory) for a unit lower triangle
// and its pivots.
RowMetric measure(octavo_lane& lane, const octavo_tensor& residual, const octavo_tensor& lower,
                  std::span<const float> pivots, std::int64_t block);

}  // namespace octavo::feedback
