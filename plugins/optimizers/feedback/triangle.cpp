#include "feedback/triangle.hpp"

#include "feedback/lane_steps.hpp"

#include <algorithm>

namespace octavo::feedback {

namespace {

// The most columns that whole blocks of so many have, but at least one.
std::int64_t in_blocks(std::int64_t columns, std::int64_t block) {
  return std::max<std::int64_t>(columns / block, 1) * block;
}

}  // namespace

std::int64_t block_of(const octavo_lane& lane, std::int64_t block) {
  constexpr std::int64_t kBlockOnDevice = 256;
  return on_device(lane) ? in_blocks(kBlockOnDevice, block) : block;
}

std::int64_t group_of(const octavo_lane& lane, std::int64_t block) {
  constexpr std::int64_t kGroupOnDevice = 512;
  return on_device(lane) ? in_blocks(kGroupOnDevice, block_of(lane, block)) : block;
}

std::int64_t Triangle::group(const octavo_lane& lane, std::int64_t block) const {
  return is_implicit() ? lower.shape[1] : group_of(lane, block);
}

octavo_tensor Triangle::part(std::int64_t row, std::int64_t rows, std::int64_t col, std::int64_t cols) const {
  return part_of(lower, row, rows, is_implicit() ? col % lower.shape[1] : col, cols);
}

FactorOnLane::FactorOnLane(octavo_lane& lane, const Factor& factor)
    : lower_(lane, factor.lower),
      inputs_(lane, factor.inputs),
      gains_(lane, factor.gains),
      triangle_{lower_.view(), factor.pivots, inputs_.view(), gains_.view()} {}

Feed::Feed(octavo_lane& lane, const Triangle& triangle, const octavo_tensor& residual)
    : lane_(lane), triangle_(triangle), residual_(residual) {
  if (triangle.is_implicit())
    sums_ = LaneMatrix(lane, OCTAVO_F32, residual.shape[0], triangle.inputs.shape[0]);
}

bool Feed::into(std::int64_t begin, std::int64_t end, const octavo_tensor& target) {
  const std::int64_t right = residual_.shape[1] - end;
  if (right == 0) return false;
  if (triangle_.is_implicit())
    multiply(lane_, sums_.view(), cols_of(triangle_.gains, begin, end - begin), target);
  else
    multiply(lane_, cols_of(residual_, end, right), triangle_.part(end, right, begin, end - begin), target);
  return true;
}

void Feed::take(std::int64_t begin, std::int64_t end) {
  if (!triangle_.is_implicit() || begin == 0) return;  // nobody asks any more
  const bool is_first = end == residual_.shape[1];
  const auto add = is_first ? multiply_transposed : multiply_transposed_add;
  add(lane_, cols_of(residual_, begin, end - begin), cols_of(triangle_.inputs, begin, end - begin),
      sums_.view());
}

}  // namespace octavo::feedback
