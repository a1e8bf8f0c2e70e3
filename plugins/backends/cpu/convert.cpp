#include "convert.hpp"

#include "rotation.hpp"
#include "source_rows.hpp"
#include "tile_result.hpp"

#include <octavo/grid.hpp>
#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <algorithm>
#include <bit>

namespace octavo::cpu {
namespace {

bool is_cast_target(std::uint32_t dtype) {
  return dtype == OCTAVO_F32 || dtype == OCTAVO_BF16 || dtype == OCTAVO_F16;
}

// Bits from which a finite f32 magnitude overflows the target.
std::uint32_t overflow_bits(std::uint32_t target_dtype) {
  if (target_dtype == OCTAVO_F16) return 0x477ff000u;   // 65520
  if (target_dtype == OCTAVO_BF16) return 0x7f7f8000u;  // half a step above the largest
  return 0x7f800000u;
}

// A power of two that brings magnitudes up to `absmax` near 1, so that their squares stay in f32.
float unit_factor(float absmax) {
  const std::uint32_t exponent = std::min(std::bit_cast<std::uint32_t>(absmax) >> 23, 253u);
  return std::bit_cast<float>((254u - exponent) << 23);
}

void* row_start(const octavo_tensor& view, std::int64_t row) {
  return static_cast<char*>(view.data) +
         row * view.row_stride * static_cast<std::int64_t>(bytes_of(view.dtype));
}

octavo_tensor one_row(const octavo_tensor& view, std::int64_t row) {
  octavo_tensor made = view;
  made.data = row_start(view, row);
  made.shape[0] = 1;
  return made;
}

// What a cast found in one row.
struct RowCast {
  bool regular;  // false: something in it is not finite or overflows, and nothing was written
  float factor;
  CastSums sums;
};

RowCast cast_row(LaneTools& tools, const Values& row, void* target, std::uint32_t target_dtype) {
  const std::uint32_t bits = tools.rows.absmax(row);
  if (bits >= overflow_bits(target_dtype)) return {false, 0.0f, {}};
  const float factor = unit_factor(std::bit_cast<float>(bits));
  return {true, factor, tools.values.cast(row.data, row.dtype, row.cols, factor, target, target_dtype)};
}

// F64 is the reference's: its overflows and underflows are those of the f64 values.
bool can_cast(const octavo_tensor& source, const octavo_tensor& target) {
  return source.rank == 2 && is_weight_dtype(source.dtype) && source.dtype != OCTAVO_F64 &&
         is_cast_target(target.dtype) && is_matrix(target, target.dtype, source.shape[0], source.shape[1]);
}

bool can_dequantize(const octavo_grid& grid, const octavo_tile& tile, const octavo_tensor& target) {
  const octavo_scale_level& level = grid.scales[0];
  if (grid.code != OCTAVO_CODE_INTEGER || grid.stored_dtype != OCTAVO_I8 || grid.scale_levels != 1 ||
      level.dtype != OCTAVO_F32 || tile.codes.rank != 2 || tile.codes.dtype != OCTAVO_I8 ||
      level.granularity < OCTAVO_PER_TENSOR || level.granularity > OCTAVO_PER_GROUP)
    return false;
  const std::int64_t rows = tile.codes.shape[0], cols = tile.codes.shape[1];
  if (!is_matrix(target, OCTAVO_F32, rows, cols)) return false;
  const bool blocks = level.granularity == OCTAVO_PER_BLOCK || level.granularity == OCTAVO_PER_GROUP;
  if (blocks && (level.block_cols < 1 || (level.granularity == OCTAVO_PER_BLOCK && level.block_rows < 1)))
    return false;
  const ScaleShape shape = scale_shape(level, rows, cols);
  return is_matrix(tile.scales[0], OCTAVO_F32, shape.rows, shape.cols);
}

}  // namespace

bool change_basis(LaneTools& tools, const octavo_grid& grid, const octavo_tensor& source,
                  const octavo_tensor& target) {
  if (source.rank != 2 || !is_weight_dtype(source.dtype) || !has_fast_basis(grid, source.shape[1]) ||
      !is_matrix(target, OCTAVO_F32, source.shape[0], source.shape[1]))
    return false;
  const SourceRows rows(source, tools.values, tools.decoded);
  for (std::int64_t r = 0; r < source.shape[0]; ++r) {
    float* to = row_of<float>(target, r);
    if (is_rotated(grid)) {
      const Values row = rows.row(r);
      tools.rows.rotate(row.data, row.dtype, row.cols, static_cast<std::size_t>(grid.basis_group), true, to);
    } else if (row_start(source, r) != to) {
      rows.copy_row(r, to);
    }
  }
  return true;
}

bool dequantize_tile(LaneTools& tools, const octavo_tile& tile, bool plain, const octavo_tensor& target) {
  const octavo_grid& grid = *tile.grid;
  if (!can_dequantize(grid, tile, target)) return false;
  const std::int64_t rows = tile.codes.shape[0], cols = tile.codes.shape[1];
  const bool rotate = plain && is_rotated(grid);
  if (plain && !has_fast_basis(grid, cols)) return false;
  const octavo_scale_level& level = grid.scales[0];
  const bool blocks = level.granularity == OCTAVO_PER_BLOCK || level.granularity == OCTAVO_PER_GROUP;
  const std::int64_t width = blocks ? level.block_cols : std::max<std::int64_t>(cols, 1);
  for (std::int64_t r = 0; r < rows; ++r) {
    std::int64_t scale_row = r;
    if (level.granularity == OCTAVO_PER_TENSOR) scale_row = 0;
    if (level.granularity == OCTAVO_PER_BLOCK) scale_row = r / level.block_rows;
    const float* scales = row_of<float>(tile.scales[0], scale_row);
    const std::int8_t* codes = row_of<std::int8_t>(tile.codes, r);
    float* to = row_of<float>(target, r);
    for (std::int64_t c = 0; c < cols; c += width)
      tools.values.scale_codes(codes + c, static_cast<std::size_t>(std::min(width, cols - c)),
                               scales[c / width], to + c);
    if (rotate)
      tools.rows.rotate(to, OCTAVO_F32, static_cast<std::size_t>(cols),
                        static_cast<std::size_t>(grid.basis_group), true, to);
  }
  return true;
}

bool cast_values(LaneTools& tools, const octavo_tensor& source, octavo_tensor& target, std::uint32_t flags,
                 octavo_cast_result& result) {
  if (!can_cast(source, target)) return false;
  result.overflow_count = result.underflow_count = 0;
  const SourceRows rows(source, tools.values, tools.decoded);
  for (std::int64_t r = 0; r < source.shape[0]; ++r) {
    const RowCast done = cast_row(tools, rows.row(r), row_start(target, r), target.dtype);
    if (done.regular) {
      result.underflow_count += done.sums.underflows;
      continue;
    }
    const octavo_tensor from = one_row(source, r);
    octavo_tensor to = one_row(target, r);
    octavo_cast_result found{};
    found.struct_size = sizeof found;
    octavo_error error = empty_error();
    check(tools.reference.cast(nullptr, &from, &to, flags, &found, &error), error);
    result.overflow_count += found.overflow_count;
    result.underflow_count += found.underflow_count;
  }
  return true;
}

bool cast_tile(LaneTools& tools, const octavo_tile& tile, octavo_tile_result& result) {
  if (tile.grid->basis != OCTAVO_BASIS_PLAIN || tile.grid->stored_dtype != tile.codes.dtype ||
      !can_cast(tile.source, tile.codes))
    return false;
  clear_result(result);
  const SourceRows rows(tile.source, tools.values, tools.decoded);
  for (std::int64_t r = 0; r < tile.source.shape[0]; ++r) {
    const RowCast done = cast_row(tools, rows.row(r), row_start(tile.codes, r), tile.codes.dtype);
    if (done.regular) {
      const double unit = 1.0 / (double{done.factor} * double{done.factor});
      result.underflow_count += done.sums.underflows;
      add_row(result, r,
              {double{done.sums.error} * unit, double{done.sums.signal} * unit, done.sums.largest});
      continue;
    }
    octavo_tile row = tile;
    row.source = one_row(tile.source, r);
    row.codes = one_row(tile.codes, r);
    row.bias_delta.data = nullptr;
    add_reference(tools.reference, row, r, tile.source.shape[1], result);
  }
  zero_bias_delta(tile);
  return true;
}

}  // namespace octavo::cpu
