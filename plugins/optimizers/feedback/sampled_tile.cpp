#include "feedback/sampled_tile.hpp"

#include "feedback/lane_steps.hpp"

#include <octavo/grid.hpp>

#include <algorithm>

namespace octavo::feedback {
namespace {

constexpr std::int64_t kSampledRows = 128;

void read_rows(const PrepareRequest& request, std::int64_t row, octavo_tensor target) {
  octavo_error error = empty_error();
  check(request.rows.read(request.rows.context, row, &target, &error), error);
}

// Groups of rows that are rounded together, spread evenly over the layer: single rows, blocks of rows where
// scales are shared by them, the whole layer where the basis couples all rows.
std::vector<float> read_sample(const PrepareRequest& request, std::int64_t& count) {
  const std::int64_t rows = request.layer.rows, cols = request.layer.cols;
  const std::int64_t unit = std::min(request.grid.row_multiple, rows);
  const std::int64_t units = std::max<std::int64_t>(rows / unit, 1);
  const std::int64_t taken = std::clamp<std::int64_t>(kSampledRows / unit, 1, units);
  count = taken * unit;
  std::vector<float> values(static_cast<std::size_t>(count * cols));
  for (std::int64_t i = 0; i < taken; ++i) {
    const std::int64_t first = i * units / taken * unit;
    read_rows(request, first, tensor_view(values.data() + i * unit * cols, OCTAVO_F32, {unit, cols}));
  }
  return values;
}

// The absmax of the whole layer in the grid's basis, where its one scale follows from it.
float layer_absmax(const PrepareRequest& request) {
  if (!needs_layer_absmax(request.grid)) return 0.0f;
  constexpr std::int64_t kBand = 256;
  const std::int64_t rows = request.layer.rows, cols = request.layer.cols;
  std::vector<float> values(static_cast<std::size_t>(std::min(kBand, rows) * cols));
  LaneMatrix uploaded(request.lane, OCTAVO_F32, std::min(kBand, rows), cols);
  float largest = 0.0f;
  for (std::int64_t row = 0; row < rows; row += kBand) {
    const std::int64_t height = std::min(kBand, rows - row);
    read_rows(request, row, tensor_view(values.data(), OCTAVO_F32, {height, cols}));
    upload(request.lane, values.data(), uploaded.view());
    const octavo_tensor band = rows_of(uploaded.view(), 0, height);
    octavo_absmax_result result{};
    result.struct_size = sizeof result;
    issue(request.lane, &octavo_operations::absmax, &request.grid, &band, OCTAVO_TILE_ZERO_NONFINITE,
          &result);
    wait_for(request.lane);
    largest = std::max(largest, result.absmax);
  }
  return largest;
}

}  // namespace

SampledTile::SampledTile(const PrepareRequest& request) {
  octavo_lane& lane = request.lane;
  const octavo_grid& grid = request.grid;
  std::int64_t rows = 0;
  const std::vector<float> values = read_sample(request, rows);
  const std::int64_t coded_rows = grid.basis == OCTAVO_BASIS_INCOHERENT ? grid.rows : rows;
  source_ = LaneMatrix(lane, OCTAVO_F32, rows, request.layer.cols);
  upload(lane, values.data(), source_.view());
  codes_ = LaneMatrix(lane, grid.stored_dtype, coded_rows, grid.cols);
  const ScaleShape shape = scale_shape(grid.scales[0], coded_rows, grid.cols);
  scales_ = LaneMatrix(lane, OCTAVO_F32, shape.rows, shape.cols);
  tile_.struct_size = sizeof tile_;
  tile_.flags = OCTAVO_TILE_ZERO_NONFINITE;
  tile_.layer = &request.layer;
  tile_.grid = &request.grid;
  tile_.source = source_.view();
  tile_.codes = codes_.view();
  tile_.scales[0] = scales_.view();
  tile_.absmax = layer_absmax(request);
  octavo_tile_result result{};
  result.struct_size = sizeof result;
  issue(lane, &octavo_operations::quantize_nearest, static_cast<const octavo_tile*>(&tile_), &result);
  wait_for(lane);
}

}  // namespace octavo::feedback
