// SPDX-License-Identifier: Apache-2.0
// Grids for C++: the usual ones, and the arithmetic that every producer and reader of scales must share.
#pragma once

#include <octavo/abi/grid.h>

#include <algorithm>
#include <cstdint>

namespace octavo {

// Smallest scale that is ever stored: a row of zeros gets it, and codes 0.
inline constexpr float kScaleFloor = 1e-30f;
// In a rotated basis a sum of 256 such values could overflow: magnitudes from here on count as non-finite.
inline constexpr float kRotatedLimit = 0x1p118f;

// max(absmax / largest code, floor), in f32. absmax >= 0 and finite.
inline float scale_of(float absmax, std::int32_t qmax, float floor) {
  return std::max(absmax / static_cast<float>(qmax), floor);
}

inline octavo_scale_level scale_level(octavo_granularity granularity, std::int64_t block_rows = 0,
                                      std::int64_t block_cols = 0) {
  return {granularity, OCTAVO_SCALE_ABSMAX, OCTAVO_F32, kScaleFloor, block_rows, block_cols};
}

// Symmetric INT8, codes in [-127, 127], one level of F32 scales, plain basis, any number of rows in a tile.
inline octavo_grid int8_grid(const octavo_layer& layer, const octavo_scale_level& level) {
  octavo_grid grid{};
  grid.struct_size = sizeof grid;
  grid.code = OCTAVO_CODE_INTEGER;
  grid.stored_dtype = OCTAVO_I8;
  grid.qmin = -127;
  grid.qmax = 127;
  grid.scale_levels = 1;
  grid.scales[0] = level;
  grid.basis = OCTAVO_BASIS_PLAIN;
  grid.row_multiple = level.granularity == OCTAVO_PER_BLOCK ? level.block_rows : 1;
  grid.rows = layer.rows;
  grid.cols = layer.cols;
  return grid;
}

// A plain conversion to another float dtype.
inline octavo_grid cast_grid(const octavo_layer& layer, octavo_dtype dtype) {
  octavo_grid grid{};
  grid.struct_size = sizeof grid;
  grid.code = OCTAVO_CODE_CAST;
  grid.stored_dtype = dtype;
  grid.basis = OCTAVO_BASIS_PLAIN;
  grid.row_multiple = 1;
  grid.rows = layer.rows;
  grid.cols = layer.cols;
  return grid;
}

// Shape [rows, cols] of a level of scales for `rows` rows (the layer's, or a tile's) of the grid.
struct ScaleShape {
  std::int64_t rows;
  std::int64_t cols;
};

inline ScaleShape scale_shape(const octavo_scale_level& level, std::int64_t rows, std::int64_t cols) {
  switch (level.granularity) {
    case OCTAVO_PER_TENSOR:
      return {1, 1};
    case OCTAVO_PER_BLOCK:
      return {(rows + level.block_rows - 1) / level.block_rows,
              (cols + level.block_cols - 1) / level.block_cols};
    case OCTAVO_PER_GROUP:
      return {rows, (cols + level.block_cols - 1) / level.block_cols};
    default:
      return {rows, 1};
  }
}

// Some level's scale needs the absmax of the whole layer before the first tile.
inline bool needs_layer_absmax(const octavo_grid& grid) {
  for (std::uint32_t i = 0; i < grid.scale_levels; ++i) {
    if (grid.scales[i].granularity == OCTAVO_PER_TENSOR) return true;
  }
  return false;
}

}  // namespace octavo
