#include "feedback/band.hpp"

#include "feedback/lane_steps.hpp"

#include <octavo/grid.hpp>

#include <algorithm>

namespace octavo::feedback {
namespace {

bool has_column_scales(const octavo_scale_level& level) {
  return level.granularity == OCTAVO_PER_BLOCK || level.granularity == OCTAVO_PER_GROUP;
}

template <typename T>
void gather(const octavo_tensor& from, const std::vector<std::int64_t>& order, const octavo_tensor& to) {
  for (std::int64_t r = 0; r < to.shape[0]; ++r) {
    const T* source = row_of<T>(from, r);
    T* target = row_of<T>(to, r);
    for (std::size_t k = 0; k < order.size(); ++k) target[k] = source[order[k]];
  }
}

// Values that are not finite count as 0, as in nearest.
void bring_to_basis(octavo_lane& lane, const octavo_tile& tile, octavo_tensor& weight) {
  if ((tile.flags & OCTAVO_TILE_ZERO_NONFINITE) == 0) {
    issue(lane, &octavo_operations::to_basis, tile.grid, &tile.source, &weight);
    return;
  }
  LaneMatrix finite(lane, OCTAVO_F32, tile.source.shape[0], tile.source.shape[1]);
  octavo_cast_result result{};
  result.struct_size = sizeof result;
  issue(lane, &octavo_operations::cast, &tile.source, &finite.view(), OCTAVO_TILE_ZERO_NONFINITE, &result);
  if (on_device(lane)) wait_for(lane, tile.slot);
  issue(lane, &octavo_operations::to_basis, tile.grid, static_cast<const octavo_tensor*>(&finite.view()),
        &weight);
}

}  // namespace

BandMemory::BandMemory(octavo_lane& lane, const octavo_tile& tile, const std::vector<std::int64_t>& order)
    : tile_(tile), order_(order), grid_(*tile.grid), scales_(tile.scales[0]) {
  const std::int64_t rows = tile.codes.shape[0], cols = grid_.cols;
  weight_ = LaneMatrix(lane, OCTAVO_F32, rows, cols);
  if (grid_.scales[0].granularity == OCTAVO_PER_TENSOR) {  // the layer's: nearest writes none
    own_scales_ = LaneMatrix(lane, OCTAVO_F32, 1, 1);
    const float scale = scale_of(tile.absmax, grid_.qmax, grid_.scales[0].floor);
    upload(lane, &scale, own_scales_.view());
    scales_ = own_scales_.view();
  }
  if (!order_.empty()) {
    ordered_ = LaneMatrix(lane, OCTAVO_F32, rows, cols);
    codes_ = LaneMatrix(lane, grid_.stored_dtype, rows, cols);
    if (has_column_scales(grid_.scales[0])) spread_scales(lane);
  }
  begin_again(lane);
  const octavo_tensor& weight = order_.empty() ? weight_.view() : ordered_.view();
  band_.emplace(Band{grid_, weight, own_scales_.view().data == nullptr ? scales_ : own_scales_.view(),
                     order_.empty() ? tile.codes : codes_.view(), weight});
}

void BandMemory::begin_again(octavo_lane& lane) {
  bring_to_basis(lane, tile_, weight_.view());
  if (!order_.empty()) gather<float>(weight_.view(), order_, ordered_.view());
}

// Scales that follow blocks of columns no longer do once the columns are in another order: one for each
// element.
void BandMemory::spread_scales(octavo_lane& lane) {
  octavo_scale_level& level = grid_.scales[0];
  const std::int64_t block_rows = level.granularity == OCTAVO_PER_BLOCK ? level.block_rows : 1;
  own_scales_ = LaneMatrix(lane, OCTAVO_F32, weight_.view().shape[0], weight_.view().shape[1]);
  for (std::int64_t r = 0; r < own_scales_.view().shape[0]; ++r) {
    const float* from = row_of<float>(scales_, r / block_rows);
    float* to = row_of<float>(own_scales_.view(), r);
    for (std::size_t k = 0; k < order_.size(); ++k) to[k] = from[order_[k] / level.block_cols];
  }
  level.granularity = OCTAVO_PER_GROUP;
  level.block_cols = 1;
}

void BandMemory::store_codes(const octavo_tile& tile) const {
  if (order_.empty()) return;  // they were written there
  const std::size_t size = bytes_of(grid_.stored_dtype);
  for (std::int64_t r = 0; r < tile.codes.shape[0]; ++r) {
    const auto* from = static_cast<const char*>(codes_.view().data) + r * codes_.view().row_stride * size;
    auto* to = static_cast<char*>(tile.codes.data) + r * tile.codes.row_stride * size;
    for (std::size_t k = 0; k < order_.size(); ++k)
      std::copy_n(from + k * size, size, to + static_cast<std::size_t>(order_[k]) * size);
  }
}

}  // namespace octavo::feedback
