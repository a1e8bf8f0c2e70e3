#include "run/slot.hpp"

#include "stored/band_lane.hpp"

#include <octavo/tensor.hpp>

namespace octavo::run {

Slot::Slot(plugin::Lane& lane, uint32_t number, uint64_t bytes)
    : lane_(lane), number_(number), usual_bytes_(bytes) {
  grow(bytes);
}

std::span<std::byte> Slot::host(uint64_t bytes) {
  if (bytes > host_.bytes()) grow(bytes);
  return {host_data(), static_cast<size_t>(host_.bytes())};
}

void Slot::shrink() {
  if (host_.bytes() > usual_bytes_) grow(usual_bytes_);
}

octavo_tile Slot::tile(const plan::PlannedLayer& layer, int64_t row_begin, int64_t rows) {
  const octavo_grid& grid = layer.grid;
  const plan::TileOffsets at = plan::tile_offsets(layer, rows);
  octavo_tile tile = stored::tile_of(layer.layer, grid, row_begin, plan::coded_rows(layer, rows), grid.cols);
  const auto place = [&](octavo_tensor& part, uint64_t offset) {
    if (part.rank != 0) part = view(offset, part.dtype, part.shape[0], part.shape[1]);
  };
  tile.source = view(0, layer.layer.dtype, rows, layer.layer.cols);
  place(tile.codes, at.codes);
  for (uint32_t level = 0; level < grid.scale_levels; ++level) place(tile.scales[level], at.scales[level]);
  place(tile.zero_points, at.zero_points);
  tile.slot = number_;
  return tile;
}

octavo_tensor Slot::view(uint64_t offset, uint32_t dtype, int64_t rows, int64_t cols) const {
  octavo_tensor made = octavo::tensor_view(work_data() + offset, dtype, {rows, cols});
  made.memory = lane_.raw().memory;
  made.device = lane_.raw().device;
  return made;
}

void Slot::copy_in(uint64_t begin, uint64_t end) {
  if (lane_.on_host()) return;
  lane_.copy(static_cast<std::byte*>(device_.data()) + begin, OCTAVO_MEMORY_DEVICE, host_data() + begin,
             OCTAVO_MEMORY_PINNED, end - begin);
}

void Slot::copy_out(uint64_t begin, uint64_t end) {
  if (lane_.on_host()) return;
  lane_.copy(host_data() + begin, OCTAVO_MEMORY_PINNED, static_cast<std::byte*>(device_.data()) + begin,
             OCTAVO_MEMORY_DEVICE, end - begin);
}

void Slot::grow(uint64_t bytes) {
  host_ = {};  // before the larger one is asked for
  device_ = {};
  // The device's first, which may fail: that the slot has room is read off host_.
  if (!lane_.on_host()) device_ = lane_.allocate(OCTAVO_MEMORY_DEVICE, bytes);
  host_ = lane_.allocate(lane_.on_host() ? OCTAVO_MEMORY_HOST : OCTAVO_MEMORY_PINNED, bytes);
}

}  // namespace octavo::run
