#include "tile_result.hpp"

#include <octavo/plugin.hpp>

#include <algorithm>

namespace octavo::cpu {

void clear_result(octavo_tile_result& result) {
  result.max_error = 0.0f;
  result.error_sum = result.signal_sum = 0.0;
  result.nonfinite_count = result.overflow_count = result.underflow_count = 0;
  result.nonfinite_first = -1;
  result.floored_rows = result.rows_sent_back = 0;
  result.note[0] = '\0';
}

void add_rows(octavo_tile_result& result, const RowErrors& errors) {
  result.error_sum += errors.error;
  result.signal_sum += errors.signal;
  result.max_error = std::max(result.max_error, errors.largest);
}

void add_row(octavo_tile_result& result, std::int64_t row, const RowErrors& errors) {
  add_rows(result, errors);
  if (result.row_metric != nullptr) result.row_metric[row] = errors.error;
  if (result.row_nearest_metric != nullptr) result.row_nearest_metric[row] = errors.error;
}

void add_reference(const octavo_operations& reference, const octavo_tile& rows, std::int64_t first,
                   std::int64_t cols, octavo_tile_result& result) {
  octavo_tile_result found = result;
  if (found.row_metric != nullptr) found.row_metric += first;
  if (found.row_nearest_metric != nullptr) found.row_nearest_metric += first;
  octavo_error error = empty_error();
  check(reference.quantize_nearest(nullptr, &rows, &found, &error), error);
  add_rows(result, {found.error_sum, found.signal_sum, found.max_error});
  result.floored_rows += found.floored_rows;
  result.overflow_count += found.overflow_count;
  result.underflow_count += found.underflow_count;
  if (result.nonfinite_count == 0 && found.nonfinite_count > 0)
    result.nonfinite_first = first * cols + found.nonfinite_first;
  result.nonfinite_count += found.nonfinite_count;
}

void zero_bias_delta(const octavo_tile& tile) {
  if (tile.bias_delta.data != nullptr)
    std::fill_n(static_cast<float*>(tile.bias_delta.data), tile.source.shape[0], 0.0f);
}

}  // namespace octavo::cpu
