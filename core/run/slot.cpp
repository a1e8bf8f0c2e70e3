#include "run/slot.hpp"

#include <octavo/grid.hpp>
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
  const int64_t coded = plan::coded_rows(layer, rows);
  octavo_tile tile{};
  tile.struct_size = sizeof tile;
  tile.layer = &layer.layer;
  tile.grid = &grid;
  tile.row_begin = row_begin;
  tile.source = view(0, layer.layer.dtype, rows, layer.layer.cols);
  tile.codes = view(at.codes, grid.stored_dtype, coded, grid.cols);
  for (uint32_t level = 0; level < grid.scale_levels; ++level) {
    const octavo::ScaleShape shape = octavo::scale_shape(grid.scales[level], coded, grid.cols);
    tile.scales[level] = view(at.scales[level], grid.scales[level].dtype, shape.rows, shape.cols);
  }
  if (grid.code == OCTAVO_CODE_INTEGER_ZERO) {
    const octavo::ScaleShape shape = octavo::scale_shape(grid.scales[0], coded, grid.cols);
    tile.zero_points = view(at.zero_points, grid.zero_point_dtype, shape.rows, shape.cols);
  }
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
  host_ = lane_.allocate(lane_.on_host() ? OCTAVO_MEMORY_HOST : OCTAVO_MEMORY_PINNED, bytes);
  if (!lane_.on_host()) device_ = lane_.allocate(OCTAVO_MEMORY_DEVICE, bytes);
}

}  // namespace octavo::run
