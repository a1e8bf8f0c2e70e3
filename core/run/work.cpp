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
               const plan::TileSizes& sizes) {
  const plan::PlannedLayer& layer = *plan.layers[index];
  add_pieces(items, kind, index, static_cast<uint64_t>(layer.layer.rows),
             static_cast<uint64_t>(plan::tile_rows(layer, sizes)));
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

// Collects the pieces of all tensors with their places in the output.
class Cutting {
 public:
  Cutting(const plan::Plan& plan, const std::vector<uint64_t>& output_offsets, const plan::TileSizes& sizes)
      : plan_(plan), output_offsets_(output_offsets), sizes_(sizes) {}

  std::vector<WorkItem> in_order_of_output() {
    for (uint32_t i = 0; i < plan_.copies.size(); ++i) cut_copy(i);
    for (uint32_t i = 0; i < plan_.layers.size(); ++i) cut_layer(i);
    for (uint32_t i = 0; i < plan_.merges.size(); ++i) cut_merge(i);
    // Stable: of a layer's pieces at one place those for its absmax stay before the first tile.
    std::stable_sort(pieces_.begin(), pieces_.end(),
                     [](const Piece& a, const Piece& b) { return a.offset < b.offset; });
    std::vector<WorkItem> items;
    for (const Piece& piece : pieces_) items.push_back(piece.item);
    return items;
  }

 private:
  void cut_copy(uint32_t index) {
    const plan::PlannedCopy& copy = plan_.copies[index];
    std::vector<WorkItem> items;
    add_pieces(items, WorkKind::copy, index, copy.source->info.bytes(), sizes_.usual);
    place(items, copy.output, 1);
  }

  void cut_layer(uint32_t index) {
    const plan::PlannedLayer& layer = *plan_.layers[index];
    std::vector<WorkItem> items;
    if (octavo::needs_layer_absmax(layer.grid)) add_layer(items, WorkKind::absmax, plan_, index, sizes_);
    add_layer(items, WorkKind::tile, plan_, index, sizes_);
    const uint64_t row_bytes =
        static_cast<uint64_t>(layer.grid.cols) * octavo::bytes_of(layer.grid.stored_dtype);
    // What a LayerQueue admits one after the other must not take turns with what waits for it.
    place(items, codes_output(layer), plan::needs_admission(layer) ? 0 : row_bytes);
  }

  void cut_merge(uint32_t index) {
    const plan::PlannedMerge& merge = plan_.merges[index];
    std::vector<WorkItem> items;
    add_pieces(items, WorkKind::merge, index, static_cast<uint64_t>(merge.rows),
               static_cast<uint64_t>(plan::merge_rows(merge, sizes_.usual)));
    place(items, merge.output,
          static_cast<uint64_t>(merge.cols) * octavo::bytes_of(merge.origin.tensor->info.dtype));
  }

  // `unit`: bytes in the output of what the items are counted in.
  void place(const std::vector<WorkItem>& items, size_t output, uint64_t unit) {
    for (const WorkItem& item : items) {
      const uint64_t before = item.kind == WorkKind::absmax ? 0 : item.begin * unit;
      pieces_.push_back({output_offsets_[output] + before, item});
    }
  }

  const plan::Plan& plan_;
  const std::vector<uint64_t>& output_offsets_;
  const plan::TileSizes sizes_;
  std::vector<Piece> pieces_;
};

}  // namespace

std::vector<WorkItem> cut_into_work(const plan::Plan& plan, const std::vector<uint64_t>& output_offsets,
                                    const plan::TileSizes& sizes) {
  std::vector<WorkItem> items = Cutting(plan, output_offsets, sizes).in_order_of_output();
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
                                            const plan::TileSizes& sizes) {
  std::vector<WorkItem> items;
  for (const uint32_t index : wanted) add_layer(items, WorkKind::absmax, plan, index, sizes);
  return items;
}

}  // namespace octavo::run
