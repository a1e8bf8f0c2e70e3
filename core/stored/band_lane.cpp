#include "stored/band_lane.hpp"

#include <octavo/grid.hpp>
#include <octavo/tensor.hpp>

#include <algorithm>
#include <utility>

namespace octavo::stored {

BandLane::BandLane(plugin::Lane lane) : lane_(std::move(lane)) {}

BandLane::BandLane(const octavo_host& host) {
  reference_.struct_size = sizeof reference_;
  reference_.memory = OCTAVO_MEMORY_HOST;
  reference_.device = -1;
  reference_.operations = host.reference;
  reference_.host = &host;
}

void BandLane::finish() {
  if (!lane_) return;
  lane_->record(0);
  lane_->wait(0);
}

void BandLane::multiply(const octavo_tensor& a, const octavo_tensor& b, const octavo_tensor& c) {
  octavo_matmul call{};
  call.struct_size = sizeof call;
  call.transpose_b = 1;
  call.precision = OCTAVO_PRECISION_F32;
  call.a = a;
  call.b = b;
  call.c = c;
  run("matmul",
      [&](auto& operations, auto* lane, auto* error) { return operations.matmul(lane, &call, error); });
}

void BandLane::dequantize(const octavo_tile& tile, octavo_tensor& values) {
  run("dequantize", [&](auto& operations, auto* lane, auto* error) {
    return operations.dequantize(lane, &tile, 1, &values, error);
  });
}

void BandLane::quantize_nearest(const octavo_tile& tile) {
  octavo_tile_result result{};
  result.struct_size = sizeof result;
  run("quantize_nearest", [&](auto& operations, auto* lane, auto* error) {
    return operations.quantize_nearest(lane, &tile, &result, error);
  });
  finish();
}

octavo_error_sums BandLane::error_sums(const octavo_tensor& a, const octavo_tensor& b) {
  octavo_error_sums sums{};
  sums.struct_size = sizeof sums;
  run("error_sums", [&](auto& operations, auto* lane, auto* error) {
    return operations.error_sums(lane, &a, &b, &sums, error);
  });
  finish();
  return sums;
}

float BandLane::absmax(const octavo_grid& grid, const octavo_tensor& values) {
  octavo_absmax_result result{};
  result.struct_size = sizeof result;
  run("absmax", [&](auto& operations, auto* lane, auto* error) {
    return operations.absmax(lane, &grid, &values, 0, &result, error);
  });
  finish();
  return result.absmax;
}

octavo_tile tile_of(const octavo_layer& layer, const octavo_grid& grid, int64_t row_begin, int64_t rows,
                    int64_t cols) {
  octavo_tile tile{};
  tile.struct_size = sizeof tile;
  tile.layer = &layer;
  tile.grid = &grid;
  tile.row_begin = row_begin;
  tile.codes = tensor_view(nullptr, grid.stored_dtype, {rows, cols});
  for (uint32_t i = 0; i < grid.scale_levels; ++i) {
    const ScaleShape shape = scale_shape(grid.scales[i], rows, cols);
    tile.scales[i] = tensor_view(nullptr, grid.scales[i].dtype, {shape.rows, shape.cols});
  }
  if (grid.code == OCTAVO_CODE_INTEGER_ZERO) {
    const ScaleShape shape = scale_shape(grid.scales[0], rows, cols);
    tile.zero_points = tensor_view(nullptr, grid.zero_point_dtype, {shape.rows, shape.cols});
  }
  return tile;
}

uint64_t view_bytes(const octavo_tensor& view) {
  uint64_t elements = 1;
  for (uint32_t i = 0; i < view.rank; ++i) elements *= static_cast<uint64_t>(view.shape[i]);
  return elements * static_cast<uint64_t>(bits_of(view.dtype)) / 8;
}

void* LaneBuffer::memory(BandLane& lane, uint64_t bytes) {
  plugin::Lane* backend = lane.backend_lane();
  if (backend == nullptr) {
    if (plain_.size() < bytes) plain_.resize(bytes);
    return plain_.data();
  }
  if (memory_.data() == nullptr || memory_.bytes() < bytes) {
    memory_ = {};
    const auto where = lane.on_host() ? OCTAVO_MEMORY_HOST : OCTAVO_MEMORY_DEVICE;
    memory_ = backend->allocate(where, std::max<uint64_t>(bytes, 64));
  }
  return memory_.data();
}

octavo_tensor LaneBuffer::reserve(BandLane& lane, const octavo_tensor& host) {
  octavo_tensor view = host;
  view.data = memory(lane, view_bytes(host));
  view.memory = lane.raw().memory;
  view.device = lane.on_host() ? -1 : lane.raw().device;
  return view;
}

octavo_tensor LaneBuffer::upload(BandLane& lane, const octavo_tensor& host) {
  if (lane.on_host() || host.data == nullptr) return host;
  const octavo_tensor view = reserve(lane, host);
  lane.backend_lane()->copy(view.data, OCTAVO_MEMORY_DEVICE, host.data, OCTAVO_MEMORY_HOST, view_bytes(host));
  return view;
}

}  // namespace octavo::stored
