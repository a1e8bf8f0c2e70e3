// Rounding with feedback inside one block of columns (LDLQ, equally GPTQ from the back).
#include "reference/algebra.hpp"
#include "reference/codes.hpp"
#include "reference/convert.hpp"
#include "reference/scales.hpp"
#include "reference/view.hpp"

#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

namespace octavo::reference {
namespace {

constexpr const char* kOperation = "round_feedback";

// The scale of element [row, col] of the block, from the view of the whole layer's scales.
float scale_at(const octavo_feedback& feedback, std::int64_t row, std::int64_t col) {
  const octavo_scale_level& level = feedback.grid->scales[0];
  const std::int64_t layer_row = feedback.row_begin + row;
  const std::int64_t layer_col = feedback.col_begin + col;
  std::int64_t at_row = layer_row, at_col = 0;
  if (level.granularity == OCTAVO_PER_TENSOR) at_row = 0;
  if (level.granularity == OCTAVO_PER_BLOCK) at_row = layer_row / level.block_rows;
  if (level.granularity == OCTAVO_PER_BLOCK || level.granularity == OCTAVO_PER_GROUP)
    at_col = layer_col / level.block_cols;
  const Extent size = extent(feedback.scales, kOperation, "scales");
  if (at_row >= size.rows || at_col >= size.cols)
    bad_argument(kOperation, "the block lies outside of the scales");
  return row_of<float>(feedback.scales, at_row)[at_col];
}

void check_feedback(const octavo_feedback& feedback) {
  if (feedback.grid == nullptr) bad_argument(kOperation, "no grid");
  const octavo_grid& grid = *feedback.grid;
  check_codes(grid, kOperation);
  check_scales(grid, kOperation);
  if (grid.code == OCTAVO_CODE_INTEGER_ZERO) unsupported(kOperation, "zero points");
  if (grid.scale_levels != 1) unsupported(kOperation, "two levels of scales");
  const Extent size = extent(feedback.source, kOperation, "source");
  expect(feedback.source, OCTAVO_F32, size, kOperation, "source");
  if (feedback.fed.data != nullptr) expect(feedback.fed, OCTAVO_F32, size, kOperation, "fed");
  if (feedback.factor.data != nullptr)
    expect(feedback.factor, OCTAVO_F32, {size.cols, size.cols}, kOperation, "factor");
  expect(feedback.codes, grid.stored_dtype, size, kOperation, "codes");
  expect(feedback.residual, OCTAVO_F32, size, kOperation, "residual");
  expect(feedback.scales, OCTAVO_F32, extent(feedback.scales, kOperation, "scales"), kOperation, "scales");
  if (feedback.pivots.data == nullptr) return;
  expect(feedback.pivots, OCTAVO_F32, {1, size.cols}, kOperation, "pivots");
  expect(feedback.metric, OCTAVO_F64, {size.rows, 1}, kOperation, "metric");
}

void round_row(const octavo_feedback& feedback, std::int64_t row) {
  const octavo_grid& grid = *feedback.grid;
  const std::int64_t cols = extent(feedback.source, kOperation, "source").cols;
  const float* source = row_of<float>(feedback.source, row);
  const float* fed = feedback.fed.data == nullptr ? nullptr : row_of<float>(feedback.fed, row);
  const float* pivots = feedback.pivots.data == nullptr ? nullptr : row_of<float>(feedback.pivots, 0);
  float* residual = row_of<float>(feedback.residual, row);
  double metric = 0.0;
  for (std::int64_t k = cols - 1; k >= 0; --k) {
    float f = fed == nullptr ? source[k] : source[k] + fed[k];
    for (std::int64_t i = cols - 1; i > k && feedback.factor.data != nullptr; --i)
      f += residual[i] * row_of<float>(feedback.factor, i)[k];
    const float scale = scale_at(feedback, row, k);
    const float code = scale > 0.0f ? nearest_code(grid, f / scale) : 0.0f;
    store_code(grid, code, feedback.codes.data, row * feedback.codes.row_stride + k);
    const float stored = code * scale, left = f - stored;
    residual[k] = source[k] - stored;
    if (pivots != nullptr) metric += double{pivots[k]} * left * left;
  }
  if (pivots != nullptr) *row_of<double>(feedback.metric, row) += metric;
}

}  // namespace

octavo_status round_feedback(octavo_lane*, const octavo_feedback* feedback, octavo_error* error) {
  return detail::guard(error, [&] {
    check_feedback(*feedback);
    const std::int64_t rows = extent(feedback->source, kOperation, "source").rows;
    for (std::int64_t row = 0; row < rows; ++row) round_row(*feedback, row);
  });
}

}  // namespace octavo::reference
