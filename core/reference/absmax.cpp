// Absmax: the largest magnitude of a layer in the grid's basis, and what in it cannot be quantized.
#include "reference/basis.hpp"
#include "reference/convert.hpp"
#include "reference/incoherent.hpp"
#include "reference/nearest.hpp"
#include "reference/view.hpp"

#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

namespace octavo::reference {
namespace {

constexpr const char* kOperation = "absmax";

bool overflows(const octavo_grid* grid, float value) {
  return grid != nullptr && grid->code == OCTAVO_CODE_CAST && is_weight_dtype(grid->stored_dtype) &&
         !std::isfinite(rounded_to(grid->stored_dtype, value));
}

// Columns of a row in the grid's basis. Throws where the basis and the source do not fit.
std::int64_t basis_width(const octavo_grid* grid, Extent source) {
  if (grid == nullptr) return source.cols;
  std::int64_t width = source.cols;
  if (grid->basis == OCTAVO_BASIS_INCOHERENT) width = grid->cols;
  if (grid->basis == OCTAVO_BASIS_CONVROT) width = std::max(source.cols, grid->cols);
  check_basis(*grid, width, kOperation);
  if (grid->basis == OCTAVO_BASIS_INCOHERENT && (source.rows > grid->rows || source.cols > width))
    bad_argument(kOperation, "the source is larger than the grid");
  if (grid->basis == OCTAVO_BASIS_CONVROT && grid->basis_group > 256)
    unsupported(kOperation,
                fmt::format("groups of {} columns; at most 256 are supported", grid->basis_group));
  return width;
}

// Counts what of a row cannot be quantized, and makes it 0. `begin`: index of the row's first value.
void sift(const octavo_grid* grid, std::span<float> row, std::int64_t begin, octavo_absmax_result& result) {
  for (float& value : row) {
    if (is_usable(grid, value)) {
      if (overflows(grid, value)) ++result.overflow_count;
      continue;
    }
    if (result.nonfinite_count++ == 0) result.nonfinite_first = begin + (&value - row.data());
    value = 0.0f;
  }
}

float largest(std::span<const float> values) {
  float found = 0.0f;
  for (const float value : values) found = std::max(found, std::fabs(value));
  return found;
}

void scan(const octavo_grid* grid, const octavo_tensor& source, octavo_absmax_result& result) {
  const Extent size = extent(source, kOperation, "source");
  expect_float(source, kOperation, "source");
  const std::int64_t width = basis_width(grid, size);
  const bool couples_rows = grid != nullptr && grid->basis == OCTAVO_BASIS_INCOHERENT;
  const std::size_t length = static_cast<std::size_t>(width);
  std::vector<float> values(length * static_cast<std::size_t>(couples_rows ? grid->rows : 1));
  for (std::int64_t r = 0; r < size.rows; ++r) {
    const std::span<float> row(values.data() + (couples_rows ? r * width : 0), length);
    load_row(source, r, row);
    sift(grid, row.first(static_cast<std::size_t>(size.cols)), r * size.cols, result);
    if (couples_rows) continue;
    if (grid != nullptr) apply_basis(*grid, row);
    result.absmax = std::max(result.absmax, largest(row));
  }
  if (!couples_rows) return;
  to_incoherent(*grid, values.data(), width);
  result.absmax = largest(values);
}

}  // namespace

octavo_status absmax(octavo_lane*, const octavo_grid* grid, const octavo_tensor* source,
                     std::uint32_t /*flags*/, octavo_absmax_result* result, octavo_error* error) {
  return detail::guard(error, [&] {
    result->absmax = 0.0f;
    result->nonfinite_count = 0;
    result->nonfinite_first = -1;
    result->overflow_count = 0;
    scan(grid, *source, *result);
  });
}

}  // namespace octavo::reference
