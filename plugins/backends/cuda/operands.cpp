#include "operands.hpp"

#include "basis.hpp"

#include <octavo/grid.hpp>
#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace octavo::cuda {
namespace {

bool is_integer(const octavo_grid& grid) {
  return grid.code == OCTAVO_CODE_INTEGER || grid.code == OCTAVO_CODE_INTEGER_ZERO;
}

bool integers_fit(const octavo_grid& grid) {
  switch (grid.stored_dtype) {
    case OCTAVO_I8:
      return grid.qmin >= -128 && grid.qmax <= 127;
    case OCTAVO_U8:
      return grid.qmin >= 0 && grid.qmax <= 255;
    case OCTAVO_I16:
      return grid.qmin >= -32768 && grid.qmax <= 32767;
    default:
      return false;
  }
}

bool codes_fit(const octavo_grid& grid) {
  switch (grid.code) {
    case OCTAVO_CODE_INTEGER:
    case OCTAVO_CODE_INTEGER_ZERO:
      return integers_fit(grid);
    case OCTAVO_CODE_E4M3:
      return grid.stored_dtype == OCTAVO_F8_E4M3;
    case OCTAVO_CODE_E5M2:
      return grid.stored_dtype == OCTAVO_F8_E5M2;
    case OCTAVO_CODE_E2M1:
      return grid.stored_dtype == OCTAVO_U8;
    default:
      return false;
  }
}

float largest_code(const octavo_grid& grid) {
  switch (grid.code) {
    case OCTAVO_CODE_E4M3:
      return 448.0f;
    case OCTAVO_CODE_E5M2:
      return 57344.0f;
    case OCTAVO_CODE_E2M1:
      return 6.0f;
    default:
      return static_cast<float>(grid.qmax);
  }
}

// What a scale of level 0 may be at most, so that both levels use their range.
float largest_inner(const octavo_grid& grid) {
  switch (grid.scales[0].dtype) {
    case OCTAVO_F8_E4M3:
      return 448.0f;
    case OCTAVO_F8_E5M2:
      return 57344.0f;
    default:
      return 1.0f;
  }
}

bool is_scale_dtype(std::uint32_t dtype) {
  return dtype == OCTAVO_F32 || dtype == OCTAVO_BF16 || dtype == OCTAVO_F16 || dtype == OCTAVO_F8_E4M3 ||
         dtype == OCTAVO_F8_E5M2 || dtype == OCTAVO_F8_E8M0;
}

void check_level(const octavo_grid& grid, const octavo_scale_level& level, const char* operation) {
  const bool with_zero = grid.code == OCTAVO_CODE_INTEGER_ZERO;
  if (level.granularity < OCTAVO_PER_TENSOR || level.granularity > OCTAVO_PER_GROUP)
    unsupported(operation, fmt::format("scales of granularity {}", level.granularity));
  if (!is_scale_dtype(level.dtype)) unsupported(operation, fmt::format("scales of dtype {}", level.dtype));
  if (level.granularity == OCTAVO_PER_BLOCK && level.block_rows < 1)
    bad_argument(operation, fmt::format("blocks of {} rows", level.block_rows));
  if (level.granularity >= OCTAVO_PER_BLOCK && level.block_cols < 1)
    bad_argument(operation, fmt::format("blocks of {} columns", level.block_cols));
  if (with_zero != (level.rule == OCTAVO_SCALE_RANGE))
    unsupported(operation, "zero points and the rule max - min go together, and only so");
  if (level.dtype == OCTAVO_F8_E8M0 && level.rule != OCTAVO_SCALE_ABSMAX_POW2)
    unsupported(operation, "F8_E8M0 scales need the rule of powers of two");
  if (with_zero && level.granularity == OCTAVO_PER_TENSOR)
    unsupported(operation, "one zero point for a whole tensor; rows, blocks and groups are supported");
}

bool is_power_of_four(std::int64_t value) {
  while (value > 1 && value % 4 == 0) value /= 4;
  return value == 1;
}

}  // namespace

void bad_argument(const char* operation, const std::string& what) {
  throw PluginError(OCTAVO_BAD_ARGUMENT, fmt::format("[{}] {}", operation, what));
}

void unsupported(const char* operation, const std::string& what) {
  throw PluginError(OCTAVO_UNSUPPORTED, fmt::format("[{}] {}", operation, what));
}

View checked_view(const octavo_tensor& tensor, const char* operation, const char* name) {
  if (tensor.rank > 2)
    bad_argument(operation, fmt::format("{} has rank {}; at most 2 is expected", name, tensor.rank));
  const View view = view_of(tensor);
  if (view.rows < 0 || view.cols < 0)
    bad_argument(operation, fmt::format("{} has the shape [{}, {}]", name, view.rows, view.cols));
  if (view.rows == 0 || view.cols == 0) return view;
  if (view.data == nullptr) bad_argument(operation, fmt::format("{} has no data", name));
  if (tensor.memory != OCTAVO_MEMORY_DEVICE)
    bad_argument(operation,
                 fmt::format("{} is in memory {}; device memory is expected", name, tensor.memory));
  return view;
}

View checked_view(const octavo_tensor& tensor, std::uint32_t dtype, std::int64_t rows, std::int64_t cols,
                  const char* operation, const char* name) {
  const View view = checked_view(tensor, operation, name);
  if (view.rows != rows || view.cols != cols) {
    bad_argument(operation, fmt::format("{} has the shape [{}, {}]; [{}, {}] is expected", name, view.rows,
                                        view.cols, rows, cols));
  }
  if (view.dtype != dtype)
    bad_argument(operation, fmt::format("{} has dtype {}; {} is expected", name, view.dtype, dtype));
  return view;
}

View float_view(const octavo_tensor& tensor, const char* operation, const char* name) {
  const View view = checked_view(tensor, operation, name);
  if (!is_weight_dtype(view.dtype)) {
    unsupported(operation,
                fmt::format("{} has dtype {}; F64, F32, BF16, F16 and the 8-bit floats are supported", name,
                            view.dtype));
  }
  return view;
}

std::int64_t basis_group(const octavo_grid& grid, const char* operation) {
  if (grid.basis == OCTAVO_BASIS_PLAIN || grid.basis == OCTAVO_BASIS_FORMAT) return 0;
  if (grid.basis != OCTAVO_BASIS_CONVROT) {
    unsupported(operation,
                fmt::format("basis {}; plain, convrot and a format's own are supported", grid.basis));
  }
  if (grid.basis_group < 4 || !is_power_of_four(grid.basis_group))
    bad_argument(operation, fmt::format("groups of {} columns; a power of 4 is expected", grid.basis_group));
  if (grid.basis_group > kLargestGroup) {
    unsupported(operation, fmt::format("groups of {} columns; at most {} are supported", grid.basis_group,
                                       kLargestGroup));
  }
  return grid.basis_group;
}

std::int64_t basis_group(const octavo_grid& grid, std::int64_t cols, const char* operation) {
  const std::int64_t group = basis_group(grid, operation);
  if (group != 0 && cols % group != 0)
    bad_argument(operation, fmt::format("groups of {} do not divide {} columns", group, cols));
  return group;
}

void check_codes(const octavo_grid& grid, const char* operation) {
  if (grid.code == OCTAVO_CODE_CODEBOOK)
    unsupported(operation, "codebook codes; integers, E4M3, E5M2, E2M1 and casts are supported");
  if (!codes_fit(grid)) {
    unsupported(operation,
                fmt::format("codes of kind {} in [{}, {}] stored as dtype {}; integers are stored as I8, U8 "
                            "or I16, E4M3 and E5M2 as their 8-bit floats, E2M1 as U8",
                            grid.code, grid.qmin, grid.qmax, grid.stored_dtype));
  }
  if (is_integer(grid) && grid.qmin >= grid.qmax)
    bad_argument(operation, fmt::format("codes from {} to {}", grid.qmin, grid.qmax));
}

void check_levels(const octavo_grid& grid, const char* operation) {
  if (grid.scale_levels < 1 || grid.scale_levels > 2)
    unsupported(operation, fmt::format("{} levels of scales; 1 and 2 are supported", grid.scale_levels));
  if (grid.scale_levels == 2 && grid.code == OCTAVO_CODE_INTEGER_ZERO)
    unsupported(operation, "zero points with two levels of scales");
  for (std::uint32_t i = 0; i < grid.scale_levels; ++i) check_level(grid, grid.scales[i], operation);
  if (grid.code == OCTAVO_CODE_INTEGER_ZERO) check_zero_point_dtype(grid, operation);
}

void check_zero_point_dtype(const octavo_grid& grid, const char* operation) {
  constexpr std::uint32_t known[] = {OCTAVO_I8,  OCTAVO_U8,   OCTAVO_I16, OCTAVO_I32,
                                     OCTAVO_F32, OCTAVO_BF16, OCTAVO_F16};
  if (std::find(std::begin(known), std::end(known), grid.zero_point_dtype) == std::end(known))
    unsupported(operation, fmt::format("zero points of dtype {}", grid.zero_point_dtype));
}

CodePlan code_plan(const octavo_grid& grid) {
  return {grid.code, grid.stored_dtype, static_cast<float>(grid.qmin), static_cast<float>(grid.qmax),
          largest_code(grid)};
}

LevelPlan level_plan(const octavo_grid& grid, std::uint32_t index, std::int64_t rows, std::int64_t cols) {
  const octavo_scale_level& level = grid.scales[index];
  const ScaleShape shape = scale_shape(level, rows, cols);
  const float inner = index == 0 ? 1.0f : largest_inner(grid);
  LevelPlan plan{
      1,          std::max<std::int64_t>(cols, 1), shape.rows,  shape.cols, nullptr, shape.cols, level.dtype,
      level.rule, largest_code(grid) * inner,      level.floor, nullptr};
  if (level.granularity == OCTAVO_PER_TENSOR) plan.block_rows = std::max<std::int64_t>(rows, 1);
  if (level.granularity == OCTAVO_PER_BLOCK) plan.block_rows = level.block_rows;
  if (level.granularity >= OCTAVO_PER_BLOCK) plan.block_cols = level.block_cols;
  return plan;
}

}  // namespace octavo::cuda
