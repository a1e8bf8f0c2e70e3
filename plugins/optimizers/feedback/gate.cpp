#include "feedback/gate.hpp"

#include "feedback/band.hpp"
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
std::vector<float> sampled_rows(const PrepareRequest& request, std::int64_t& count) {
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

double held_out_error(octavo_lane& lane, const octavo_tensor& held_out, const octavo_tensor& residual) {
  LaneMatrix output(lane, OCTAVO_F32, held_out.shape[0], residual.shape[0]);
  multiply_transposed(lane, held_out, residual, output.view());
  const HostCopy values(lane, output.view());
  double sum = 0.0;
  for (std::int64_t r = 0; r < values.view().shape[0]; ++r) {
    const float* row = row_of<float>(values.view(), r);
    for (std::int64_t c = 0; c < values.view().shape[1]; ++c) sum += double{row[c]} * row[c];
  }
  return sum;
}

}  // namespace

GateResult judge(const PrepareRequest& request, const Factor& factor, const octavo_tensor& held_out,
                 std::int64_t block) {
  octavo_lane& lane = request.lane;
  std::int64_t rows = 0;
  const std::vector<float> values = sampled_rows(request, rows);
  const octavo_grid& grid = request.grid;
  const bool whole = grid.basis == OCTAVO_BASIS_INCOHERENT;
  const std::int64_t coded_rows = whole ? grid.rows : rows;

  LaneMatrix source(lane, OCTAVO_F32, rows, request.layer.cols);
  upload(lane, values.data(), source.view());
  LaneMatrix codes(lane, grid.stored_dtype, coded_rows, grid.cols);
  const ScaleShape shape = scale_shape(grid.scales[0], coded_rows, grid.cols);
  LaneMatrix scales(lane, OCTAVO_F32, shape.rows, shape.cols);
  octavo_tile tile{};
  tile.struct_size = sizeof tile;
  tile.flags = OCTAVO_TILE_ZERO_NONFINITE;
  tile.layer = &request.layer;
  tile.grid = &grid;
  tile.source = source.view();
  tile.codes = codes.view();
  tile.scales[0] = scales.view();
  tile.absmax = layer_absmax(request);
  octavo_tile_result result{};
  result.struct_size = sizeof result;
  issue(lane, &octavo_operations::quantize_nearest, static_cast<const octavo_tile*>(&tile), &result);
  wait_for(lane);

  const BandMemory memory(lane, tile, factor.order);
  const OnLane lower(lane, factor.lower);
  LaneMatrix tokens(lane, OCTAVO_F32, held_out.shape[0], held_out.shape[1]);
  upload(lane, held_out.data, tokens.view());
  GateResult judged;
  round_to_nearest(lane, memory.band());
  judged.nearest = held_out_error(lane, tokens.view(), memory.band().residual);
  round_with_feedback(lane, memory.band(), {lower.view(), factor.pivots}, block);
  judged.feedback = held_out_error(lane, tokens.view(), memory.band().residual);
  return judged;
}

}  // namespace octavo::feedback
