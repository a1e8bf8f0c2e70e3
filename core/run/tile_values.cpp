#include "run/tile_values.hpp"

#include "base/aligned.hpp"
#include "plan/tile_shape.hpp"
#include "reference/scales.hpp"

#include <octavo/grid.hpp>
#include <octavo/tensor.hpp>

#include <algorithm>

namespace octavo::run {
namespace {

uint64_t f32_bytes(const octavo_tensor& view) {
  return static_cast<uint64_t>(view.shape[0] * view.shape[1]) * sizeof(float);
}

constexpr uint64_t kBandBytes = uint64_t{32} << 20;  // of f32 values

// Rows [begin, begin + count) of a matrix with a row for each `rows_each` of the tile's.
octavo_tensor rows_of(octavo_tensor matrix, int64_t begin, int64_t count, int64_t rows_each) {
  if (matrix.data == nullptr) return matrix;
  const int64_t first = begin / rows_each;
  const uint64_t row_bytes = static_cast<uint64_t>(matrix.row_stride) * octavo::bytes_of(matrix.dtype);
  matrix.data = static_cast<std::byte*>(matrix.data) + static_cast<uint64_t>(first) * row_bytes;
  matrix.shape[0] = (count + rows_each - 1) / rows_each;
  return matrix;
}

octavo_tile band_of(const octavo_tile& tile, int64_t begin, int64_t count) {
  octavo_tile band = tile;
  band.row_begin += begin;
  band.source = rows_of(tile.source, begin, count, 1);
  band.codes = rows_of(tile.codes, begin, count, 1);
  for (uint32_t level = 0; level < tile.grid->scale_levels; ++level) {
    const octavo_scale_level& scales = tile.grid->scales[level];
    if (scales.granularity == OCTAVO_PER_TENSOR) continue;
    const int64_t rows_each = scales.granularity == OCTAVO_PER_BLOCK ? scales.block_rows : 1;
    band.scales[level] = rows_of(tile.scales[level], begin, count, rows_each);
    if (level == 0) band.zero_points = rows_of(tile.zero_points, begin, count, rows_each);
  }
  return band;
}

}  // namespace

std::vector<octavo_tile> bands_of(const octavo_tile& tile) {
  const int64_t rows = tile.source.shape[0];
  const uint64_t row_bytes = static_cast<uint64_t>(tile.source.shape[1]) * sizeof(float);
  const bool is_coupled = tile.grid->basis == OCTAVO_BASIS_INCOHERENT;
  const int64_t height = plan::tile_height(rows, row_bytes, tile.grid->row_multiple, is_coupled, kBandBytes);
  if (height >= rows) return {tile};
  std::vector<octavo_tile> bands;
  for (int64_t begin = 0; begin < rows; begin += height)
    bands.push_back(band_of(tile, begin, std::min(height, rows - begin)));
  return bands;
}

TileValues::TileValues(plugin::Lane& lane, const octavo_tile& tile) : lane_(lane) {
  const uint64_t half = aligned(f32_bytes(tile.source));
  const auto memory = static_cast<octavo_memory>(lane.raw().memory);
  memory_ = lane.allocate(memory, 2 * half);
  const auto view = [&](uint64_t offset) {
    octavo_tensor made = octavo::tensor_view(static_cast<std::byte*>(memory_.data()) + offset, OCTAVO_F32,
                                             {tile.source.shape[0], tile.source.shape[1]});
    made.memory = lane.raw().memory;
    made.device = lane.raw().device;
    return made;
  };
  source_ = view(0);
  stored_ = view(half);
  place_layer_scales(tile);
  cast_.struct_size = sizeof cast_;
  lane.run("cast", [&](const octavo_operations& operations, octavo_lane* raw, octavo_error* error) {
    return operations.cast(raw, &tile.source, &source_, tile.flags & OCTAVO_TILE_ZERO_NONFINITE, &cast_,
                           error);
  });
  lane.run("dequantize", [&](const octavo_operations& operations, octavo_lane* raw, octavo_error* error) {
    return operations.dequantize(raw, &tile, 1, &stored_, error);
  });
}

// A scale of the whole layer follows from its absmax and has not been written; reading codes needs it.
void TileValues::place_layer_scales(const octavo_tile& tile) {
  for (uint32_t level = 0; level < tile.grid->scale_levels; ++level) {
    const octavo_scale_level& scales = tile.grid->scales[level];
    if (scales.granularity != OCTAVO_PER_TENSOR) continue;
    if (lane_.on_host()) {
      reference::store_layer_scale(*tile.grid, level, tile.absmax, tile.scales[level].data);
    } else {
      reference::store_layer_scale(*tile.grid, level, tile.absmax, &layer_scales_[level]);
      lane_.copy(tile.scales[level].data, OCTAVO_MEMORY_DEVICE, &layer_scales_[level], OCTAVO_MEMORY_HOST,
                 octavo::bytes_of(scales.dtype));
    }
  }
}

void TileValues::sum_errors(octavo_error_sums& sums) {
  sums.struct_size = sizeof sums;
  lane_.run("error_sums", [&](const octavo_operations& operations, octavo_lane* raw, octavo_error* error) {
    return operations.error_sums(raw, &source_, &stored_, &sums, error);
  });
}

void measure(plugin::Lane& lane, const octavo_tile& tile, octavo_tile_result& result) {
  result.error_sum = result.signal_sum = 0;
  result.max_error = 0;
  for (const octavo_tile& band : bands_of(tile)) {
    TileValues values(lane, band);
    octavo_error_sums sums{};
    values.sum_errors(sums);
    lane.record(tile.slot);
    lane.wait(tile.slot);
    result.error_sum += sums.error_sum;
    result.signal_sum += sums.signal_sum;
    result.max_error = std::max(result.max_error, sums.max_error);
  }
}

}  // namespace octavo::run
