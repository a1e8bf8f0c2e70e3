#include "reference/basis.hpp"

#include "reference/convert.hpp"
#include "reference/incoherent.hpp"
#include "reference/view.hpp"

#include <octavo/grid.hpp>
#include <octavo/incoherent.hpp>
#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace octavo::reference {
namespace {

// One radix-4 stage: quadruples (a, b, c, d) at distance `stride`, times 2 x H4.
void hadamard_stage(std::span<float> group, std::size_t stride) {
  for (std::size_t start = 0; start < group.size(); start += 4 * stride) {
    for (std::size_t i = start; i < start + stride; ++i) {
      float& a = group[i];
      float& b = group[i + stride];
      float& c = group[i + 2 * stride];
      float& d = group[i + 3 * stride];
      const float t = (a + b) + (c + d);
      const float from_d = t - 2.0f * d;
      const float from_c = t - 2.0f * c;
      const float from_b = t - 2.0f * b;
      const float from_a = t - 2.0f * a;
      a = from_d;
      b = from_c;
      c = from_b;
      d = from_a;
    }
  }
}

void rotate_group(std::span<float> group) {
  for (std::size_t stride = 1; stride < group.size(); stride *= 4) hadamard_stage(group, stride);
  const float factor = 1.0f / std::sqrt(static_cast<float>(group.size()));  // a power of two: exact
  for (float& value : group) value *= factor;
}

bool is_power_of_four(std::int64_t value) {
  while (value > 1 && value % 4 == 0) value /= 4;
  return value == 1;
}

// A whole layer; in the basis it has the grid's extent.
void convert_incoherent(const char* operation, const octavo_grid& grid, const octavo_tensor& source,
                        const octavo_tensor& target, bool forth) {
  const Extent from = extent(source, operation, "source");
  const Extent to = extent(target, operation, "target");
  expect_float(source, operation, "source");
  expect(target, OCTAVO_F32, to, operation, "target");
  check_incoherent(grid, operation);
  const Extent coded{grid.rows, grid.cols};
  const Extent& inner = forth ? from : to;
  if ((forth ? to : from) != coded || inner.rows > coded.rows || inner.cols > coded.cols)
    bad_argument(operation, "an incoherent basis takes the whole layer, padded");
  std::vector<float> values(static_cast<std::size_t>(coded.rows * coded.cols), 0.0f);
  for (std::int64_t r = 0; r < from.rows; ++r)
    load_row(source, r, {values.data() + r * coded.cols, static_cast<std::size_t>(coded.cols)});
  forth ? to_incoherent(grid, values.data(), coded.cols) : from_incoherent(grid, values.data(), coded.cols);
  for (std::int64_t r = 0; r < to.rows; ++r)
    std::copy_n(values.begin() + r * coded.cols, to.cols, row_of<float>(target, r));
}

void convert_basis(const char* operation, const octavo_grid* grid, const octavo_tensor& source,
                   const octavo_tensor& target, bool forth) {
  if (grid == nullptr) bad_argument(operation, "no grid");
  if (grid->basis == OCTAVO_BASIS_INCOHERENT)
    return convert_incoherent(operation, *grid, source, target, forth);
  const Extent from = extent(source, operation, "source");
  const Extent to = extent(target, operation, "target");
  expect_float(source, operation, "source");
  expect(target, OCTAVO_F32, {from.rows, to.cols}, operation, "target");
  const std::int64_t width = std::max(from.cols, to.cols);
  check_basis(*grid, width, operation);
  std::vector<float> row(static_cast<std::size_t>(width));
  for (std::int64_t r = 0; r < from.rows; ++r) {
    load_row(source, r, row);
    apply_basis(*grid, row);
    std::copy_n(row.begin(), to.cols, row_of<float>(target, r));
  }
}

}  // namespace

void check_basis(const octavo_grid& grid, std::int64_t cols, const char* operation) {
  if (grid.basis == OCTAVO_BASIS_PLAIN || grid.basis == OCTAVO_BASIS_FORMAT) return;
  if (grid.basis == OCTAVO_BASIS_INCOHERENT) {
    if (cols != grid.cols)
      bad_argument(operation, fmt::format("{} columns in a grid of {}", cols, grid.cols));
    return check_incoherent(grid, operation);
  }
  if (grid.basis != OCTAVO_BASIS_CONVROT) unsupported(operation, fmt::format("basis {}", grid.basis));
  if (grid.basis_group < 4 || !is_power_of_four(grid.basis_group))
    bad_argument(operation, fmt::format("groups of {} columns; a power of 4 is expected", grid.basis_group));
  if (cols % grid.basis_group != 0)
    bad_argument(operation, fmt::format("groups of {} do not divide {} columns", grid.basis_group, cols));
}

void apply_basis(const octavo_grid& grid, std::span<float> row) {
  if (grid.basis != OCTAVO_BASIS_CONVROT) return;
  const std::size_t size = static_cast<std::size_t>(grid.basis_group);
  for (std::size_t start = 0; start < row.size(); start += size) rotate_group(row.subspan(start, size));
}

bool is_usable(const octavo_grid* grid, float value) {
  if (grid != nullptr && grid->basis == OCTAVO_BASIS_CONVROT) return std::fabs(value) < kRotatedLimit;
  if (grid != nullptr && grid->basis == OCTAVO_BASIS_INCOHERENT) return std::fabs(value) < kIncoherentLimit;
  return std::isfinite(value);
}

octavo_status to_basis(octavo_lane*, const octavo_grid* grid, const octavo_tensor* source,
                       octavo_tensor* target, octavo_error* error) {
  return detail::guard(error, [&] { convert_basis("to_basis", grid, *source, *target, true); });
}

octavo_status from_basis(octavo_lane*, const octavo_grid* grid, const octavo_tensor* source,
                         octavo_tensor* target, octavo_error* error) {
  return detail::guard(error, [&] { convert_basis("from_basis", grid, *source, *target, false); });
}

}  // namespace octavo::reference
