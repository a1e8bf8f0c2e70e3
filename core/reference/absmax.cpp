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
#include <vector>

namespace octavo::reference {
namespace {

constexpr const char* kOperation = "absmax";

bool overflows(const octavo_grid* grid, float value) {
  return grid != nullptr && grid->code == OCTAVO_CODE_CAST && is_weight_dtype(grid->stored_dtype) &&
         !std::isfinite(rounded_to(grid->stored_dtype, value));
}

void scan(const octavo_grid* grid, const octavo_tensor& source, octavo_absmax_result& result) {
  const Extent size = extent(source, kOperation, "source");
  expect_float(source, kOperation, "source");
  std::int64_t width = size.cols;
  const bool incoherent = grid != nullptr && grid->basis == OCTAVO_BASIS_INCOHERENT;
  std::vector<float> layer;
  if (incoherent) {
    width = grid->cols;
    check_basis(*grid, width, kOperation);
    if (size.rows > grid->rows || size.cols > width)
      bad_argument(kOperation, "the source is larger than the grid");
    layer.resize(static_cast<std::size_t>(grid->rows * width));
  } else if (grid != nullptr && grid->basis == OCTAVO_BASIS_CONVROT) {
    width = std::max(size.cols, grid->cols);
    check_basis(*grid, width, kOperation);
    if (grid->basis_group > 256)
      unsupported(kOperation,
                  fmt::format("groups of {} columns; at most 256 are supported", grid->basis_group));
  } else if (grid != nullptr) {
    check_basis(*grid, width, kOperation);
  }
  std::vector<float> row(static_cast<std::size_t>(width));
  for (std::int64_t r = 0; r < size.rows; ++r) {
    load_row(source, r, row);
    for (std::int64_t c = 0; c < size.cols; ++c) {
      float& value = row[static_cast<std::size_t>(c)];
      if (is_usable(grid, value)) {
        if (overflows(grid, value)) ++result.overflow_count;
        continue;
      }
      if (result.nonfinite_count++ == 0) result.nonfinite_first = r * size.cols + c;
      value = 0.0f;
    }
    if (incoherent) {
      std::copy(row.begin(), row.end(), layer.begin() + r * width);
      continue;
    }
    if (grid != nullptr) apply_basis(*grid, row);
    for (const float value : row) result.absmax = std::max(result.absmax, std::fabs(value));
  }
  if (!incoherent) return;
  to_incoherent(*grid, layer.data(), width);
  for (const float value : layer) result.absmax = std::max(result.absmax, std::fabs(value));
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
