// Levels of scales: which cell an element belongs to, and the value a cell stores for its largest magnitude.
#pragma once

#include "reference/view.hpp"

#include <octavo/abi/grid.h>
#include <octavo/grid.hpp>

#include <cstdint>
#include <vector>

namespace octavo::reference {

// How one level divides `rows` x `cols` elements. Cells at the right and lower edge may be smaller.
struct Cells {
  std::int64_t block_rows;
  std::int64_t block_cols;
  std::int64_t rows;  // of cells
  std::int64_t cols;

  std::size_t size() const { return static_cast<std::size_t>(rows * cols); }
  std::size_t index(std::int64_t row, std::int64_t col) const {
    return static_cast<std::size_t>(row / block_rows * cols + col / block_cols);
  }
};

// Throws OCTAVO_UNSUPPORTED or OCTAVO_BAD_ARGUMENT for levels that make no sense or are not supported.
void check_scales(const octavo_grid& grid, const char* operation);

Cells cells_of(const octavo_scale_level& level, Extent extent);

// The scale that level `index` stores for a cell with this largest magnitude, as f32 after rounding to the
// level's dtype. `outer` is the stored scale of level 1 when this is level 0 of two, else 1.
float absmax_scale(const octavo_grid& grid, std::uint32_t index, float absmax, float outer);

// The one scale of a whole layer with this absmax, where level `index` is PER_TENSOR: as nearest uses it,
// which leaves it to the host to store.
float layer_scale(const octavo_grid& grid, std::uint32_t index, float absmax);
// The same as the level stores it: octavo::bytes_of(its dtype) bytes of host memory, at most 4. Throws as
// check_scales does.
void store_layer_scale(const octavo_grid& grid, std::uint32_t index, float absmax, void* target);

// 0 < scale < floor before the floor is applied (or, for a dtype below F32, before the rounding).
bool is_floored(const octavo_grid& grid, std::uint32_t index, float absmax, float outer);

// Scale and zero point for values from `low` to `high`: (max - min) / (qmax - qmin), with 0 in the range so
// that zero is stored exactly.
struct ZeroScale {
  float scale;
  float zero_point;
};
ZeroScale range_scale(const octavo_grid& grid, float low, float high);

// The scales of one level as f32, in the order of its cells; and the reverse (rounding to the level's dtype).
std::vector<float> load_scales(const octavo_scale_level& level, const octavo_tensor& view, const Cells& cells,
                               const char* operation);
void store_scales(const octavo_scale_level& level, const std::vector<float>& scales, const Cells& cells,
                  const octavo_tensor& view, const char* operation);

// Zero points (I8, U8, I16, I32, F32, BF16 or F16), laid out as level 0's cells.
std::vector<float> load_zero_points(const octavo_grid& grid, const octavo_tensor& view, const Cells& cells,
                                    const char* operation);
void store_zero_points(const octavo_grid& grid, const std::vector<float>& values, const Cells& cells,
                       const octavo_tensor& view, const char* operation);

}  // namespace octavo::reference
