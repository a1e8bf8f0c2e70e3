#include "feedback/ldlq.hpp"

#include "feedback/lane_steps.hpp"

#include <algorithm>
#include <vector>

namespace octavo::feedback {
namespace {

// Rounds columns [begin, begin + width); `work` is the weight plus what other columns feed back.
void round_block(octavo_lane& lane, const Band& band, std::int64_t begin, std::int64_t width,
                 const octavo_tensor& work, const octavo_tensor& factor) {
  octavo_feedback feedback{};
  feedback.struct_size = sizeof feedback;
  feedback.grid = &band.grid;
  feedback.col_begin = begin;
  feedback.source = cols_of(band.weight, begin, width);
  feedback.work = work;
  feedback.factor = factor;
  feedback.scales = band.scales;
  feedback.codes = cols_of(band.codes, begin, width);
  feedback.residual = cols_of(band.residual, begin, width);
  issue(lane, &octavo_operations::round_feedback, &feedback);
}

// target -= from, in host memory.
void subtract(const octavo_tensor& from, const octavo_tensor& target) {
  for (std::int64_t r = 0; r < target.shape[0]; ++r) {
    const float* right = row_of<float>(from, r);
    float* left = row_of<float>(target, r);
    for (std::int64_t k = 0; k < target.shape[1]; ++k) left[k] -= right[k];
  }
}

}  // namespace

RowMetric round_with_feedback(octavo_lane& lane, const Band& band, const Triangle& triangle,
                              std::int64_t block) {
  const std::int64_t rows = band.weight.shape[0], cols = band.weight.shape[1];
  RowMetric metric(rows, triangle.pivots);
  LaneMatrix fed(lane, OCTAVO_F32, rows, std::min(block, cols));
  for (std::int64_t end = cols; end > 0;) {
    check_cancelled(lane);
    const std::int64_t width = (end - 1) % block + 1;  // only the rightmost block may be narrower
    const std::int64_t begin = end - width, right = cols - end;
    const octavo_tensor weight = cols_of(band.weight, begin, width);
    const octavo_tensor diagonal = part_of(triangle.lower, begin, width, begin, width);
    const octavo_tensor work = cols_of(fed.view(), 0, width);
    copy_matrix(lane, weight, work);
    if (right > 0) {
      multiply(lane, cols_of(band.residual, end, right), part_of(triangle.lower, end, right, begin, width),
               work, Sum::add);
    }
    round_block(lane, band, begin, width, work, diagonal);
    if (!on_device(lane)) {  // g = residual L in these columns: what was fed in, and the block's own
      subtract(weight, work);
      multiply(lane, cols_of(band.residual, begin, width), diagonal, work, Sum::add);
      metric.add(lane, work, begin);
    }
    end = begin;
  }
  if (on_device(lane)) return measure(lane, band.residual, triangle.lower, triangle.pivots, block);
  return metric;
}

void round_to_nearest(octavo_lane& lane, const Band& band) {
  constexpr std::int64_t kWidth = 32;
  const std::int64_t cols = band.weight.shape[1];
  LaneMatrix none(lane, OCTAVO_F32, kWidth, kWidth);
  const std::vector<float> zeros(kWidth * kWidth, 0.0f);
  upload(lane, zeros.data(), none.view());
  for (std::int64_t begin = 0; begin < cols; begin += kWidth) {
    const std::int64_t width = std::min(kWidth, cols - begin);
    round_block(lane, band, begin, width, cols_of(band.weight, begin, width),
                part_of(none.view(), 0, width, 0, width));
  }
}

}  // namespace octavo::feedback
