#include "run/tile_parts.hpp"

#include "base/error.hpp"
#include "plan/tile_shape.hpp"
#include "plugin/format.hpp"
#include "reference/scales.hpp"

#include <octavo/grid.hpp>
#include <octavo/tensor.hpp>

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <span>

namespace octavo::run {
namespace {

// Output tensor of a layer that has a role; throws where it has none.
size_t output_of(const plan::PlannedLayer& layer, octavo_role role) {
  for (const plan::LayerOutput& output : layer.outputs) {
    if (output.role == role) return output.output;
  }
  throw Error(ErrorCode::failed,
              fmt::format("[convert] the format of layer {} writes a part it did not announce",
                          printable(layer.name)));
}

// The format makes of the tile what it stores.
void encode(const plan::PlannedLayer& layer, const octavo_tile& tile, const plan::TileOffsets& at,
            std::byte* block, Output& output) {
  octavo_tile stored = tile;  // the same views in host memory
  stored.codes.data = block + at.codes;
  for (uint32_t level = 0; level < layer.grid.scale_levels; ++level)
    stored.scales[level].data = block + at.scales[level];
  stored.zero_points.data = block + at.zero_points;
  const plugin::Storage storage{[&](octavo_role role, uint64_t offset, std::span<const std::byte> bytes) {
                                  output.write(output_of(layer, role), offset, bytes);
                                },
                                [](octavo_role, uint64_t, std::span<std::byte>) {
                                  throw Error(ErrorCode::failed,
                                              "[convert] encode reads what it is to write");
                                }};
  layer.format->encode(stored, storage);
}

// Bytes [begin, begin + bytes) of the slot's tile, from byte `to` of an output tensor on.
void write_part(Slot& slot, uint64_t begin, uint64_t bytes, size_t part, uint64_t to, Output& output) {
  slot.take_out(begin, bytes, [&](uint64_t done, std::span<const std::byte> piece) {
    output.write(part, to + done, piece);
  });
}

void write_scales(const plan::PlannedLayer& layer, const octavo_tile& tile, Slot& slot, uint64_t begin,
                  uint32_t level, size_t part, Output& output) {
  const octavo_scale_level& scales = layer.grid.scales[level];
  if (scales.granularity == OCTAVO_PER_TENSOR) {
    if (tile.row_begin != 0) return;
    std::array<std::byte, sizeof(float)> scale{};
    reference::store_layer_scale(layer.grid, level, tile.absmax, scale.data());
    output.write(part, 0, {scale.data(), octavo::bytes_of(scales.dtype)});
    return;
  }
  const auto shape =
      octavo::scale_shape(scales, plan::coded_rows(layer, tile.source.shape[0]), layer.grid.cols);
  const int64_t rows_per_scale = scales.granularity == OCTAVO_PER_BLOCK ? scales.block_rows : 1;
  const uint64_t row_bytes = static_cast<uint64_t>(shape.cols) * octavo::bytes_of(scales.dtype);
  const auto first = static_cast<uint64_t>(tile.row_begin / rows_per_scale);
  write_part(slot, begin, static_cast<uint64_t>(shape.rows) * row_bytes, part, first * row_bytes, output);
}

}  // namespace

void write_parts(const plan::PlannedLayer& layer, const octavo_tile& tile, Slot& slot, Output& output) {
  const int64_t rows = tile.source.shape[0];
  const plan::TileOffsets at = plan::tile_offsets(layer, rows);
  if (layer.format->packs()) {
    encode(layer, tile, at, slot.host(at.total).data(), output);
    return;
  }
  const octavo_grid& grid = layer.grid;
  const uint64_t row_bytes = static_cast<uint64_t>(grid.cols) * octavo::bytes_of(grid.stored_dtype);
  const auto coded_rows = static_cast<uint64_t>(plan::coded_rows(layer, rows));
  for (const plan::LayerOutput& part : layer.outputs) {
    if (part.role == OCTAVO_ROLE_CODES) {
      write_part(slot, at.codes, coded_rows * row_bytes, part.output,
                 static_cast<uint64_t>(tile.row_begin) * row_bytes, output);
    } else if (part.role == OCTAVO_ROLE_SCALES) {
      write_scales(layer, tile, slot, at.scales[0], 0, part.output, output);
    } else if (part.role == OCTAVO_ROLE_OUTER_SCALES) {
      write_scales(layer, tile, slot, at.scales[1], 1, part.output, output);
    }
  }
}

}  // namespace octavo::run
