#include "run/slot.hpp"

#include <octavo/grid.hpp>
#include <octavo/tensor.hpp>

namespace octavo::run {
namespace {

uint64_t aligned(uint64_t bytes) { return (bytes + 63) & ~uint64_t{63}; }

uint64_t view_bytes(int64_t rows, int64_t cols, uint32_t dtype) {
  return static_cast<uint64_t>(rows) * static_cast<uint64_t>(cols) * octavo::bytes_of(dtype);
}

}  // namespace

TileOffsets tile_offsets(const plan::PlannedLayer& layer, int64_t tile_rows) {
  const octavo_grid& grid = layer.grid;
  TileOffsets at;
  at.source_bytes = view_bytes(tile_rows, layer.layer.cols, layer.layer.dtype);
  at.codes = aligned(at.source_bytes);
  at.total = at.codes + aligned(view_bytes(tile_rows, grid.cols, grid.stored_dtype));
  for (uint32_t level = 0; level < grid.scale_levels; ++level) {
    at.scales[level] = at.total;
    const octavo::ScaleShape shape = octavo::scale_shape(grid.scales[level], tile_rows, grid.cols);
    at.total += aligned(view_bytes(shape.rows, shape.cols, grid.scales[level].dtype));
  }
  at.zero_points = at.total;
  if (grid.code == OCTAVO_CODE_INTEGER_ZERO) {
    const octavo::ScaleShape shape = octavo::scale_shape(grid.scales[0], tile_rows, grid.cols);
    at.total += aligned(view_bytes(shape.rows, shape.cols, grid.zero_point_dtype));
  }
  return at;
}

Slot::Slot(plugin::Lane& lane, uint32_t number, uint64_t bytes) : lane_(lane), number_(number) {
  grow(bytes);
}

Slot::~Slot() { free_memory(); }

std::span<std::byte> Slot::host(uint64_t bytes) {
  if (bytes > bytes_) grow(bytes);
  return {host_, bytes_};
}

octavo_tile Slot::tile(const plan::PlannedLayer& layer, int64_t row_begin, int64_t rows) {
  const octavo_grid& grid = layer.grid;
  const TileOffsets at = tile_offsets(layer, rows);
  const auto view = [&](uint64_t offset, uint32_t dtype, int64_t view_rows, int64_t view_cols) {
    octavo_tensor made = octavo::tensor_view(work() + offset, dtype, {view_rows, view_cols});
    made.memory = lane_.raw().memory;
    made.device = lane_.raw().device;
    return made;
  };
  octavo_tile tile{};
  tile.struct_size = sizeof tile;
  tile.layer = &layer.layer;
  tile.grid = &grid;
  tile.row_begin = row_begin;
  tile.source = view(0, layer.layer.dtype, rows, layer.layer.cols);
  tile.codes = view(at.codes, grid.stored_dtype, rows, grid.cols);
  for (uint32_t level = 0; level < grid.scale_levels; ++level) {
    const octavo::ScaleShape shape = octavo::scale_shape(grid.scales[level], rows, grid.cols);
    tile.scales[level] = view(at.scales[level], grid.scales[level].dtype, shape.rows, shape.cols);
  }
  if (grid.code == OCTAVO_CODE_INTEGER_ZERO) {
    const octavo::ScaleShape shape = octavo::scale_shape(grid.scales[0], rows, grid.cols);
    tile.zero_points = view(at.zero_points, grid.zero_point_dtype, shape.rows, shape.cols);
  }
  tile.slot = number_;
  return tile;
}

void Slot::copy_in(uint64_t bytes) {
  if (device_ != nullptr) lane_.copy(device_, OCTAVO_MEMORY_DEVICE, host_, OCTAVO_MEMORY_PINNED, bytes);
}

void Slot::copy_out(uint64_t begin, uint64_t end) {
  if (device_ == nullptr) return;
  lane_.copy(host_ + begin, OCTAVO_MEMORY_PINNED, device_ + begin, OCTAVO_MEMORY_DEVICE, end - begin);
}

void Slot::grow(uint64_t bytes) {
  free_memory();
  const bool on_device = lane_.raw().memory == OCTAVO_MEMORY_DEVICE;
  host_ =
      static_cast<std::byte*>(lane_.allocate(on_device ? OCTAVO_MEMORY_PINNED : OCTAVO_MEMORY_HOST, bytes));
  if (on_device) device_ = static_cast<std::byte*>(lane_.allocate(OCTAVO_MEMORY_DEVICE, bytes));
  bytes_ = bytes;
}

void Slot::free_memory() {
  if (device_ != nullptr) lane_.release(OCTAVO_MEMORY_DEVICE, device_);
  if (host_ != nullptr) lane_.release(device_ != nullptr ? OCTAVO_MEMORY_PINNED : OCTAVO_MEMORY_HOST, host_);
  host_ = device_ = nullptr;
  bytes_ = 0;
}

}  // namespace octavo::run
