#include "reference/scales.hpp"

#include "reference/codes.hpp"
#include "reference/convert.hpp"

#include <octavo/tensor.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace octavo::reference {
namespace {

bool is_scale_dtype(std::uint32_t dtype) {
  return dtype == OCTAVO_F32 || dtype == OCTAVO_BF16 || dtype == OCTAVO_F16 || dtype == OCTAVO_F8_E4M3 ||
         dtype == OCTAVO_F8_E5M2 || dtype == OCTAVO_F8_E8M0;
}

// What a scale of the next finer level may be at most, so that both levels use their range. Levels stored in
// a wide float are ratios of at most 1.
float largest_inner(const octavo_grid& grid, std::uint32_t index) {
  if (index == 0) return 1.0f;
  const std::uint32_t dtype = grid.scales[0].dtype;
  return dtype == OCTAVO_F8_E4M3 || dtype == OCTAVO_F8_E5M2 ? largest_finite(dtype) : 1.0f;
}

// absmax / (largest code x largest next level), relative to the outer level.
float exact_scale(const octavo_grid& grid, std::uint32_t index, float absmax, float outer) {
  if (outer == 0.0f) return 0.0f;
  const float own = absmax / (largest_code(grid) * largest_inner(grid, index));
  return outer == 1.0f ? own : own / outer;
}

// The smallest power of two >= value, from 2^-127 (value 0 and below) to 2^127.
float power_of_two_above(float value) {
  if (value <= 0x1p-127f) return 0x1p-127f;
  int exponent = 0;
  const float fraction = std::frexp(value, &exponent);  // value = fraction x 2^exponent, 0.5 <= fraction < 1
  return std::ldexp(1.0f, std::min(fraction == 0.5f ? exponent - 1 : exponent, 127));
}

void check_level(const octavo_grid& grid, const octavo_scale_level& level, const char* operation) {
  if (level.granularity < OCTAVO_PER_TENSOR || level.granularity > OCTAVO_PER_GROUP)
    unsupported(operation, fmt::format("scales of granularity {}", level.granularity));
  if (!is_scale_dtype(level.dtype)) {
    unsupported(operation,
                fmt::format("scales of dtype {}; F32, BF16, F16, F8_E4M3, F8_E5M2 and F8_E8M0 are supported",
                            level.dtype));
  }
  if (level.granularity == OCTAVO_PER_BLOCK && (level.block_rows < 1 || level.block_cols < 1))
    bad_argument(operation, fmt::format("blocks of {} x {}", level.block_rows, level.block_cols));
  if (level.granularity == OCTAVO_PER_GROUP && level.block_cols < 1)
    bad_argument(operation, fmt::format("groups of {} columns", level.block_cols));
  const bool with_zero = grid.code == OCTAVO_CODE_INTEGER_ZERO;
  if (with_zero != (level.rule == OCTAVO_SCALE_RANGE))
    unsupported(operation, "zero points and the rule max - min go together, and only so");
  if (level.dtype == OCTAVO_F8_E8M0 && level.rule != OCTAVO_SCALE_ABSMAX_POW2)
    unsupported(operation, "F8_E8M0 scales need the rule of powers of two");
  if (with_zero && level.granularity == OCTAVO_PER_TENSOR)
    unsupported(operation, "one zero point for a whole tensor; rows, blocks and groups are supported");
}

float load_zero_point(std::uint32_t dtype, const void* data, std::int64_t index) {
  switch (dtype) {
    case OCTAVO_I8:
      return static_cast<const std::int8_t*>(data)[index];
    case OCTAVO_U8:
      return static_cast<const std::uint8_t*>(data)[index];
    case OCTAVO_I16:
      return static_cast<const std::int16_t*>(data)[index];
    case OCTAVO_I32:
      return static_cast<float>(static_cast<const std::int32_t*>(data)[index]);
    default:
      return load(data, dtype, index);
  }
}

void store_zero_point(float value, std::uint32_t dtype, void* data, std::int64_t index) {
  switch (dtype) {
    case OCTAVO_I8:
      static_cast<std::int8_t*>(data)[index] = static_cast<std::int8_t>(value);
      return;
    case OCTAVO_U8:
      static_cast<std::uint8_t*>(data)[index] = static_cast<std::uint8_t>(value);
      return;
    case OCTAVO_I16:
      static_cast<std::int16_t*>(data)[index] = static_cast<std::int16_t>(value);
      return;
    case OCTAVO_I32:
      static_cast<std::int32_t*>(data)[index] = static_cast<std::int32_t>(value);
      return;
    default:
      store(value, dtype, data, index);
  }
}

void store_scale(float scale, std::uint32_t dtype, void* data, std::int64_t index) {
  if (dtype == OCTAVO_F8_E8M0)
    static_cast<std::uint8_t*>(data)[index] = static_cast<std::uint8_t>(std::ilogb(scale) + 127);
  else
    store(scale, dtype, data, index);
}

void check_zero_points(const octavo_grid& grid, const octavo_tensor& view, const Cells& cells,
                       const char* operation) {
  switch (grid.zero_point_dtype) {
    case OCTAVO_I8:
    case OCTAVO_U8:
    case OCTAVO_I16:
    case OCTAVO_I32:
    case OCTAVO_F32:
    case OCTAVO_BF16:
    case OCTAVO_F16:
      break;
    default:
      unsupported(operation, fmt::format("zero points of dtype {}", grid.zero_point_dtype));
  }
  expect(view, grid.zero_point_dtype, {cells.rows, cells.cols}, operation, "zero_points");
}

}  // namespace

void check_scales(const octavo_grid& grid, const char* operation) {
  if (grid.scale_levels < 1 || grid.scale_levels > 2)
    unsupported(operation, fmt::format("{} levels of scales; 1 and 2 are supported", grid.scale_levels));
  if (grid.scale_levels == 2 && grid.code == OCTAVO_CODE_INTEGER_ZERO)
    unsupported(operation, "zero points with two levels of scales");
  for (std::uint32_t i = 0; i < grid.scale_levels; ++i) check_level(grid, grid.scales[i], operation);
}

Cells cells_of(const octavo_scale_level& level, Extent extent) {
  const ScaleShape shape = scale_shape(level, extent.rows, extent.cols);
  const std::int64_t all_rows = std::max<std::int64_t>(extent.rows, 1);
  const std::int64_t all_cols = std::max<std::int64_t>(extent.cols, 1);
  switch (level.granularity) {
    case OCTAVO_PER_TENSOR:
      return {all_rows, all_cols, shape.rows, shape.cols};
    case OCTAVO_PER_BLOCK:
      return {level.block_rows, level.block_cols, shape.rows, shape.cols};
    case OCTAVO_PER_GROUP:
      return {1, level.block_cols, shape.rows, shape.cols};
    default:
      return {1, all_cols, shape.rows, shape.cols};
  }
}

float absmax_scale(const octavo_grid& grid, std::uint32_t index, float absmax, float outer) {
  const octavo_scale_level& level = grid.scales[index];
  const float exact = exact_scale(grid, index, absmax, outer);
  if (level.rule == OCTAVO_SCALE_ABSMAX_POW2)
    return rounded_to(level.dtype, power_of_two_above(std::max(exact, level.floor)));
  return rounded_to(level.dtype, std::min(std::max(exact, level.floor), largest_finite(level.dtype)));
}

float layer_scale(const octavo_grid& grid, std::uint32_t index, float absmax) {
  const bool has_outer = index == 0 && grid.scale_levels == 2;
  return absmax_scale(grid, index, absmax, has_outer ? absmax_scale(grid, 1, absmax, 1.0f) : 1.0f);
}

void store_layer_scale(const octavo_grid& grid, std::uint32_t index, float absmax, void* target) {
  check_level(grid, grid.scales[index], "layer_scale");
  store_scale(layer_scale(grid, index, absmax), grid.scales[index].dtype, target, 0);
}

bool is_floored(const octavo_grid& grid, std::uint32_t index, float absmax, float outer) {
  return absmax > 0.0f && exact_scale(grid, index, absmax, outer) < grid.scales[index].floor;
}

ZeroScale range_scale(const octavo_grid& grid, float low, float high) {
  const octavo_scale_level& level = grid.scales[0];
  const double least = std::min(low, 0.0f);
  const double range = std::max(high, 0.0f) - least;  // in f64: f32 could overflow
  const float exact = static_cast<float>(range / (grid.qmax - grid.qmin));
  const float scale =
      rounded_to(level.dtype, std::min(std::max(exact, level.floor), largest_finite(level.dtype)));
  const float lowest = scale > 0.0f ? static_cast<float>(least) / scale : 0.0f;
  return {scale, nearest_code(grid, static_cast<float>(grid.qmin) - std::nearbyint(lowest))};
}

std::vector<float> load_scales(const octavo_scale_level& level, const octavo_tensor& view, const Cells& cells,
                               const char* operation) {
  expect(view, level.dtype, {cells.rows, cells.cols}, operation, "scales");
  std::vector<float> scales(cells.size());
  for (std::int64_t r = 0; r < cells.rows; ++r) {
    for (std::int64_t c = 0; c < cells.cols; ++c)
      scales[static_cast<std::size_t>(r * cells.cols + c)] =
          load(view.data, level.dtype, r * view.row_stride + c);
  }
  return scales;
}

void store_scales(const octavo_scale_level& level, const std::vector<float>& scales, const Cells& cells,
                  const octavo_tensor& view, const char* operation) {
  expect(view, level.dtype, {cells.rows, cells.cols}, operation, "scales");
  for (std::int64_t r = 0; r < cells.rows; ++r) {
    for (std::int64_t c = 0; c < cells.cols; ++c)
      store_scale(scales[static_cast<std::size_t>(r * cells.cols + c)], level.dtype, view.data,
                  r * view.row_stride + c);
  }
}

std::vector<float> load_zero_points(const octavo_grid& grid, const octavo_tensor& view, const Cells& cells,
                                    const char* operation) {
  check_zero_points(grid, view, cells, operation);
  std::vector<float> values(cells.size());
  for (std::int64_t r = 0; r < cells.rows; ++r) {
    for (std::int64_t c = 0; c < cells.cols; ++c)
      values[static_cast<std::size_t>(r * cells.cols + c)] =
          load_zero_point(grid.zero_point_dtype, view.data, r * view.row_stride + c);
  }
  return values;
}

void store_zero_points(const octavo_grid& grid, const std::vector<float>& values, const Cells& cells,
                       const octavo_tensor& view, const char* operation) {
  check_zero_points(grid, view, cells, operation);
  for (std::int64_t r = 0; r < cells.rows; ++r) {
    for (std::int64_t c = 0; c < cells.cols; ++c)
      store_zero_point(values[static_cast<std::size_t>(r * cells.cols + c)], grid.zero_point_dtype, view.data,
                       r * view.row_stride + c);
  }
}

}  // namespace octavo::reference
