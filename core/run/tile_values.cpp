#include "run/tile_values.hpp"

#include "base/aligned.hpp"
#include "reference/scales.hpp"

#include <octavo/grid.hpp>
#include <octavo/tensor.hpp>

namespace octavo::run {
namespace {

uint64_t f32_bytes(const octavo_tensor& view) {
  return static_cast<uint64_t>(view.shape[0] * view.shape[1]) * sizeof(float);
}

}  // namespace

TileValues::TileValues(plugin::Lane& lane, const octavo_tile& tile) : lane_(lane), slot_(tile.slot) {
  const uint64_t half = aligned(f32_bytes(tile.source));
  const auto memory = static_cast<octavo_memory>(lane.raw().memory);
  memory_ = lane.allocate(memory, 2 * half);
  const auto view = [&](uint64_t offset) {
    octavo_tensor made = octavo::tensor_view(static_cast<std::byte*>(memory_.data()) + offset, OCTAVO_F32,
                                             {tile.source.shape[0], tile.source.shape[1]});
    made.memory = lane.raw().memory;
    made.device = lane.raw().device;
    return made;
  };
  source_ = view(0);
  stored_ = view(half);
  place_layer_scales(tile);
  cast_.struct_size = sizeof cast_;
  lane.run("cast", [&](const octavo_operations& operations, octavo_lane* raw, octavo_error* error) {
    return operations.cast(raw, &tile.source, &source_, tile.flags & OCTAVO_TILE_ZERO_NONFINITE, &cast_,
                           error);
  });
  lane.run("dequantize", [&](const octavo_operations& operations, octavo_lane* raw, octavo_error* error) {
    return operations.dequantize(raw, &tile, 1, &stored_, error);
  });
}

// A scale of the whole layer follows from its absmax and has not been written; reading codes needs it.
void TileValues::place_layer_scales(const octavo_tile& tile) {
  for (uint32_t level = 0; level < tile.grid->scale_levels; ++level) {
    const octavo_scale_level& scales = tile.grid->scales[level];
    if (scales.granularity != OCTAVO_PER_TENSOR) continue;
    if (lane_.on_host()) {
      reference::store_layer_scale(*tile.grid, level, tile.absmax, tile.scales[level].data);
    } else {
      reference::store_layer_scale(*tile.grid, level, tile.absmax, &layer_scales_[level]);
      lane_.copy(tile.scales[level].data, OCTAVO_MEMORY_DEVICE, &layer_scales_[level], OCTAVO_MEMORY_HOST,
                 octavo::bytes_of(scales.dtype));
    }
  }
}

void TileValues::measure(octavo_tile_result& result) {
  octavo_error_sums sums{};
  sums.struct_size = sizeof sums;
  lane_.run("error_sums", [&](const octavo_operations& operations, octavo_lane* raw, octavo_error* error) {
    return operations.error_sums(raw, &source_, &stored_, &sums, error);
  });
  lane_.record(slot_);
  lane_.wait(slot_);
  result.error_sum = sums.error_sum;
  result.signal_sum = sums.signal_sum;
  result.max_error = sums.max_error;
}

}  // namespace octavo::run
