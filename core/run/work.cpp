#include "run/work.hpp"

#include "plan/tile_shape.hpp"

#include <octavo/grid.hpp>
#include <octavo/tensor.hpp>

#include <algorithm>

namespace octavo::run {
namespace {

void add_pieces(std::vector<WorkItem>& items, WorkKind kind, uint32_t index, uint64_t total, uint64_t step) {
  uint32_t number = 0;
  for (uint64_t begin = 0; begin < total; begin += step) {
    items.push_back({kind, index, number++, begin, std::min(step, total - begin)});
  }
}

void add_layer(std::vector<WorkItem>& items, WorkKind kind, const plan::Plan& plan, uint32_t index,
               uint64_t tile_bytes) {
  const plan::PlannedLayer& layer = *plan.layers[index];
  add_pieces(items, kind, index, static_cast<uint64_t>(layer.layer.rows),
             static_cast<uint64_t>(plan::tile_rows(layer, tile_bytes)));
}

struct Piece {
  uint64_t offset;  // in the output
  WorkItem item;
};

size_t codes_output(const plan::PlannedLayer& layer) {
  for (const plan::LayerOutput& output : layer.outputs) {
    if (output.role == OCTAVO_ROLE_CODES) return output.output;
  }
  return layer.outputs.front().output;
}

}  // namespace

std::vector<WorkItem> cut_into_work(const plan::Plan& plan, const std::vector<uint64_t>& output_offsets,
                                    uint64_t tile_bytes) {
  std::vector<Piece> pieces;
  std::vector<WorkItem> items;  // of one tensor
  // `unit`: bytes in the output of what pieces are counted in.
  const auto take = [&](uint64_t offset, uint64_t unit) {
    for (const WorkItem& item : items) {
      const uint64_t before = item.kind == WorkKind::absmax ? 0 : item.begin * unit;
      pieces.push_back({offset + before, item});
    }
    items.clear();
  };
  for (uint32_t i = 0; i < plan.copies.size(); ++i) {
    add_pieces(items, WorkKind::copy, i, plan.copies[i].source->info.bytes(), tile_bytes);
    take(output_offsets[plan.copies[i].output], 1);
  }
  for (uint32_t i = 0; i < plan.layers.size(); ++i) {
    const plan::PlannedLayer& layer = *plan.layers[i];
    if (octavo::needs_layer_absmax(layer.grid)) add_layer(items, WorkKind::absmax, plan, i, tile_bytes);
    add_layer(items, WorkKind::tile, plan, i, tile_bytes);
    const uint64_t row_bytes =
        static_cast<uint64_t>(layer.grid.cols) * octavo::bytes_of(layer.grid.stored_dtype);
    // What a LayerQueue admits one after the other must not take turns with what waits for it.
    take(output_offsets[codes_output(layer)], plan::needs_admission(layer) ? 0 : row_bytes);
  }
  for (uint32_t i = 0; i < plan.merges.size(); ++i) {
    const plan::PlannedMerge& merge = plan.merges[i];
    add_pieces(items, WorkKind::merge, i, static_cast<uint64_t>(merge.rows),
               static_cast<uint64_t>(plan::merge_rows(merge, tile_bytes)));
    take(output_offsets[merge.output],
         static_cast<uint64_t>(merge.cols) * octavo::bytes_of(merge.origin.tensor->info.dtype));
  }
  // Stable: of a layer's pieces at one place those for its absmax stay before the first tile.
  std::stable_sort(pieces.begin(), pieces.end(),
                   [](const Piece& a, const Piece& b) { return a.offset < b.offset; });
  for (const Piece& piece : pieces) items.push_back(piece.item);
  for (uint32_t i = 0; i < plan.activation_scales.size(); ++i)
    items.push_back({WorkKind::activation_scale, i, 0, 0, 0});
  return items;
}

std::vector<uint32_t> layers_in_order(const std::vector<WorkItem>& items) {
  std::vector<uint32_t> layers;
  for (const WorkItem& item : items) {
    if (item.kind == WorkKind::tile && item.tile == 0) layers.push_back(item.index);
  }
  return layers;
}

std::vector<WorkItem> cut_into_measurements(const plan::Plan& plan, const std::vector<uint32_t>& wanted,
                                            uint64_t tile_bytes) {
  std::vector<WorkItem> items;
  for (const uint32_t index : wanted) add_layer(items, WorkKind::absmax, plan, index, tile_bytes);
  return items;
}

}  // namespace octavo::run
