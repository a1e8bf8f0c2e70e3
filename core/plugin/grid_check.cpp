#include "plugin/grid_check.hpp"

#include <fmt/format.h>

#include <bit>
#include <cmath>

namespace octavo::plugin {
namespace {

std::string code_fault(const octavo_grid& grid) {
  if (grid.code < OCTAVO_CODE_INTEGER || grid.code > OCTAVO_CODE_CAST)
    return fmt::format("the code is {}, 1 to 7 was expected", grid.code);
  if (grid.stored_dtype >= OCTAVO_DTYPE_COUNT)
    return fmt::format("the stored dtype is {}", grid.stored_dtype);
  const bool integer = grid.code == OCTAVO_CODE_INTEGER || grid.code == OCTAVO_CODE_INTEGER_ZERO;
  if (integer && (grid.qmin >= grid.qmax || grid.qmax <= 0))
    return fmt::format("the codes go from {} to {}", grid.qmin, grid.qmax);
  if (grid.code == OCTAVO_CODE_INTEGER_ZERO && grid.zero_point_dtype >= OCTAVO_DTYPE_COUNT)
    return fmt::format("the dtype of the zero points is {}", grid.zero_point_dtype);
  return {};
}

std::string level_fault(const octavo_scale_level& level) {
  if (level.granularity < OCTAVO_PER_TENSOR || level.granularity > OCTAVO_PER_GROUP)
    return fmt::format("the granularity is {}, 1 to 4 was expected", level.granularity);
  if (level.rule < OCTAVO_SCALE_ABSMAX || level.rule > OCTAVO_SCALE_RANGE)
    return fmt::format("the rule is {}, 1 to 3 was expected", level.rule);
  if (level.dtype >= OCTAVO_DTYPE_COUNT) return fmt::format("the dtype is {}", level.dtype);
  if (!(level.floor >= 0) || std::isinf(level.floor)) return fmt::format("the floor is {}", level.floor);
  const bool has_rows = level.granularity == OCTAVO_PER_BLOCK;
  const bool has_cols = has_rows || level.granularity == OCTAVO_PER_GROUP;
  if ((has_rows && level.block_rows < 1) || (has_cols && level.block_cols < 1))
    return fmt::format("the block is {} x {}", level.block_rows, level.block_cols);
  return {};
}

bool is_power_of_four(std::int64_t value) {
  return value > 1 && std::has_single_bit(static_cast<std::uint64_t>(value)) &&
         std::countr_zero(static_cast<std::uint64_t>(value)) % 2 == 0;
}

std::string basis_fault(const octavo_grid& grid) {
  if (grid.basis > OCTAVO_BASIS_FORMAT)
    return fmt::format("the basis is {}, 0 to 3 was expected", grid.basis);
  if (grid.basis != OCTAVO_BASIS_CONVROT) return {};
  if (!is_power_of_four(grid.basis_group))
    return fmt::format("the convrot group is {}, a power of 4 was expected", grid.basis_group);
  if (grid.cols % grid.basis_group != 0)
    return fmt::format("the convrot group {} does not divide {} columns", grid.basis_group, grid.cols);
  return {};
}

std::string shape_fault(const octavo_grid& grid, std::int64_t rows, std::int64_t cols) {
  const bool pads = grid.basis == OCTAVO_BASIS_INCOHERENT || grid.basis == OCTAVO_BASIS_FORMAT;
  const bool fits = pads ? grid.rows >= rows && grid.cols >= cols : grid.rows == rows && grid.cols == cols;
  if (!fits) return fmt::format("it is {} x {} for a layer of {} x {}", grid.rows, grid.cols, rows, cols);
  constexpr std::int64_t kMostElements = std::int64_t{1} << 48;
  if (grid.rows > 0 && grid.cols > kMostElements / grid.rows)
    return fmt::format("it is {} x {}, more than 2^48 codes", grid.rows, grid.cols);
  if (grid.row_multiple < 1) return fmt::format("the row multiple is {}", grid.row_multiple);
  return {};
}

}  // namespace

std::string grid_fault(const octavo_grid& grid, std::int64_t rows, std::int64_t cols) {
  if (grid.struct_size < sizeof(octavo_grid)) return fmt::format("it has {} bytes", grid.struct_size);
  std::string fault = code_fault(grid);
  if (fault.empty() && grid.scale_levels > 2)
    fault = fmt::format("it has {} levels of scales", grid.scale_levels);
  for (std::uint32_t i = 0; fault.empty() && i < grid.scale_levels; ++i) {
    fault = level_fault(grid.scales[i]);
    if (!fault.empty()) fault = fmt::format("level {} of scales: {}", i, fault);
  }
  if (fault.empty()) fault = shape_fault(grid, rows, cols);
  if (fault.empty()) fault = basis_fault(grid);
  return fault;
}

std::string quantize_fault(const octavo_grid& grid) {
  constexpr std::int64_t kWidestGroup = 256;
  if (grid.code == OCTAVO_CODE_CODEBOOK)
    return "the codes are indices into a codebook, which no operation has";
  if (grid.basis == OCTAVO_BASIS_CONVROT && grid.basis_group > kWidestGroup) {
    return fmt::format("the convrot group is {}, at most {} was expected", grid.basis_group, kWidestGroup);
  }
  return {};
}

}  // namespace octavo::plugin
