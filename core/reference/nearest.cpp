// Nearest: values in the grid's basis, a scale for each cell of each level (the outer level first), then
// round(w / s) half to even, clamped to the range of codes. Level 1's rounded scale goes into level 0's, and
// both rounded scales into s, so the codes fit what a reader multiplies them with.
#include "reference/nearest.hpp"

#include "reference/basis.hpp"
#include "reference/codes.hpp"
#include "reference/convert.hpp"
#include "reference/incoherent.hpp"
#include "reference/scales.hpp"
#include "reference/view.hpp"

#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace octavo::reference {
namespace {

constexpr const char* kOperation = "quantize_nearest";

// The tile as f32 in the grid's basis, padded to the extent of the codes.
struct Values {
  Extent extent;
  std::vector<float> data;
  float at(std::int64_t row, std::int64_t col) const {
    return data[static_cast<std::size_t>(row * extent.cols + col)];
  }
};

struct Level {
  Cells cells;
  std::vector<float> scales;
};

void count_nonfinite(octavo_tile_result& result, std::int64_t index) {
  if (result.nonfinite_count++ == 0) result.nonfinite_first = index;
}

Values load_values(const octavo_tile& tile, octavo_tile_result& result) {
  const Extent source = extent(tile.source, kOperation, "source");
  Values values{extent(tile.codes, kOperation, "codes"), {}};
  if (values.extent.rows < source.rows || values.extent.cols < source.cols)
    bad_argument(kOperation, "the codes are smaller than the source");
  check_basis(*tile.grid, values.extent.cols, kOperation);
  values.data.resize(static_cast<std::size_t>(values.extent.rows * values.extent.cols));
  for (std::int64_t r = 0; r < source.rows; ++r) {
    const std::span<float> row(values.data.data() + r * values.extent.cols,
                               static_cast<std::size_t>(values.extent.cols));
    load_row(tile.source, r, row);
    for (std::int64_t c = 0; c < source.cols; ++c) {
      float& value = row[static_cast<std::size_t>(c)];
      if (is_usable(tile.grid, value)) continue;
      count_nonfinite(result, r * source.cols + c);
      value = 0.0f;
    }
    apply_basis(*tile.grid, row);
  }
  if (tile.grid->basis == OCTAVO_BASIS_INCOHERENT) {
    if (values.extent.rows != tile.grid->rows)
      bad_argument(kOperation, "an incoherent basis takes the whole layer");
    to_incoherent(*tile.grid, values.data.data(), values.extent.cols);
  }
  return values;
}

// Largest magnitude of each cell.
std::vector<float> cell_absmax(const Values& values, const Cells& cells) {
  std::vector<float> found(cells.size(), 0.0f);
  for (std::int64_t r = 0; r < values.extent.rows; ++r) {
    for (std::int64_t c = 0; c < values.extent.cols; ++c) {
      float& largest = found[cells.index(r, c)];
      largest = std::max(largest, std::fabs(values.at(r, c)));
    }
  }
  return found;
}

// Scales of level `index`; `outer` is level 1 when this is level 0 of two.
Level make_level(const octavo_tile& tile, const Values& values, std::uint32_t index, const Level* outer,
                 octavo_tile_result& result) {
  const octavo_grid& grid = *tile.grid;
  const bool whole_tensor = grid.scales[index].granularity == OCTAVO_PER_TENSOR;
  Level level{cells_of(grid.scales[index], values.extent), {}};
  std::vector<float> largest = cell_absmax(values, level.cells);
  if (whole_tensor) largest.assign(1, tile.absmax);
  level.scales.resize(level.cells.size());
  for (std::int64_t r = 0; r < level.cells.rows; ++r) {
    for (std::int64_t c = 0; c < level.cells.cols; ++c) {
      const std::size_t i = static_cast<std::size_t>(r * level.cells.cols + c);
      const float around =
          outer == nullptr
              ? 1.0f
              : outer->scales[outer->cells.index(r * level.cells.block_rows, c * level.cells.block_cols)];
      level.scales[i] = absmax_scale(grid, index, largest[i], around);
      if (index == 0 && !whole_tensor && is_floored(grid, index, largest[i], around)) ++result.floored_rows;
    }
  }
  if (!whole_tensor)
    store_scales(grid.scales[index], level.scales, level.cells, tile.scales[index], kOperation);
  return level;
}

std::vector<Level> make_levels(const octavo_tile& tile, const Values& values, octavo_tile_result& result) {
  const octavo_grid& grid = *tile.grid;
  if (grid.scale_levels == 1) return {make_level(tile, values, 0, nullptr, result)};
  Level outer = make_level(tile, values, 1, nullptr, result);
  Level inner = make_level(tile, values, 0, &outer, result);
  return {std::move(inner), std::move(outer)};
}

// Scales and zero points of an INTEGER_ZERO grid, from the lowest and highest value of each cell.
std::vector<float> make_zero_levels(const octavo_tile& tile, const Values& values,
                                    std::vector<Level>& levels) {
  const octavo_grid& grid = *tile.grid;
  Level level{cells_of(grid.scales[0], values.extent), {}};
  std::vector<float> low(level.cells.size(), 0.0f), high(level.cells.size(), 0.0f);
  for (std::int64_t r = 0; r < values.extent.rows; ++r) {
    for (std::int64_t c = 0; c < values.extent.cols; ++c) {
      const std::size_t i = level.cells.index(r, c);
      low[i] = std::min(low[i], values.at(r, c));
      high[i] = std::max(high[i], values.at(r, c));
    }
  }
  std::vector<float> zero_points(level.cells.size());
  level.scales.resize(level.cells.size());
  for (std::size_t i = 0; i < zero_points.size(); ++i) {
    const ZeroScale made = range_scale(grid, low[i], high[i]);
    level.scales[i] = made.scale;
    zero_points[i] = made.zero_point;
  }
  store_scales(grid.scales[0], level.scales, level.cells, tile.scales[0], kOperation);
  store_zero_points(grid, zero_points, level.cells, tile.zero_points, kOperation);
  levels = {std::move(level)};
  return zero_points;
}

// Codes and sums. Sums are of the tile in the grid's basis (an orthogonal one, so of the tile itself), with
// code x scale exact in f64.
void write_codes(const octavo_tile& tile, const Values& values, const std::vector<Level>& levels,
                 const std::vector<float>& zero_points, octavo_tile_result& result) {
  const octavo_grid& grid = *tile.grid;
  const std::int64_t source_rows = extent(tile.source, kOperation, "source").rows;
  for (std::int64_t r = 0; r < values.extent.rows; ++r) {
    double row_error = 0.0;
    for (std::int64_t c = 0; c < values.extent.cols; ++c) {
      const std::size_t cell = levels[0].cells.index(r, c);
      float scale = levels[0].scales[cell];
      if (levels.size() == 2) scale *= levels[1].scales[levels[1].cells.index(r, c)];
      const float zero = zero_points.empty() ? 0.0f : zero_points[cell];
      const float value = values.at(r, c);
      const float t = scale > 0.0f ? value / scale : 0.0f;
      const float code =
          zero_points.empty() ? nearest_code(grid, t) : nearest_code(grid, std::nearbyint(t) + zero);
      store_code(grid, code, tile.codes.data, r * tile.codes.row_stride + c);
      const double error = double{code - zero} * double{scale} - double{value};
      row_error += error * error;
      result.signal_sum += double{value} * double{value};
      result.max_error = std::max(result.max_error, static_cast<float>(std::fabs(error)));
    }
    result.error_sum += row_error;
    if (r >= source_rows) continue;
    if (result.row_metric != nullptr) result.row_metric[r] = row_error;
    if (result.row_nearest_metric != nullptr) result.row_nearest_metric[r] = row_error;
  }
}

void check_tile(const octavo_tile& tile) {
  if (tile.grid == nullptr) bad_argument(kOperation, "no grid");
  const octavo_grid& grid = *tile.grid;
  expect_float(tile.source, kOperation, "source");
  check_codes(grid, kOperation);
  check_scales(grid, kOperation);
  expect(tile.codes, grid.stored_dtype, extent(tile.codes, kOperation, "codes"), kOperation, "codes");
  if (grid.basis == OCTAVO_BASIS_CONVROT && grid.basis_group > 256)
    unsupported(kOperation, fmt::format("groups of {} columns; at most 256 are supported", grid.basis_group));
  if (needs_layer_absmax(grid) && !(tile.absmax >= 0.0f && std::isfinite(tile.absmax)))
    bad_argument(kOperation,
                 fmt::format("the layer's absmax is {}; a finite value >= 0 is expected", tile.absmax));
}

void quantize_tile(const octavo_tile& tile, octavo_tile_result& result) {
  check_tile(tile);
  const Values values = load_values(tile, result);
  std::vector<Level> levels;
  std::vector<float> zero_points;
  if (tile.grid->code == OCTAVO_CODE_INTEGER_ZERO)
    zero_points = make_zero_levels(tile, values, levels);
  else
    levels = make_levels(tile, values, result);
  write_codes(tile, values, levels, zero_points, result);
}

}  // namespace

void clear_result(octavo_tile_result& result) {
  result.max_error = 0.0f;
  result.error_sum = 0.0;
  result.signal_sum = 0.0;
  result.nonfinite_count = 0;
  result.nonfinite_first = -1;
  result.overflow_count = 0;
  result.underflow_count = 0;
  result.floored_rows = 0;
  result.rows_sent_back = 0;
  result.note[0] = '\0';
}

octavo_status quantize_nearest(octavo_lane*, const octavo_tile* tile, octavo_tile_result* result,
                               octavo_error* error) {
  return detail::guard(error, [&] {
    clear_result(*result);
    if (tile->grid != nullptr && tile->grid->code == OCTAVO_CODE_CAST)
      cast_tile(*tile, *result);
    else
      quantize_tile(*tile, *result);
    if (tile->bias_delta.data != nullptr)
      std::fill_n(static_cast<float*>(tile->bias_delta.data), extent(tile->source, kOperation, "source").rows,
                  0.0f);
  });
}

}  // namespace octavo::reference
