#include "run/work.hpp"

#include "plan/tile_shape.hpp"

#include <octavo/grid.hpp>

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

struct Place {
  uint64_t offset;
  WorkKind kind;
  uint32_t index;
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
  std::vector<Place> places;
  for (uint32_t i = 0; i < plan.copies.size(); ++i) {
    places.push_back({output_offsets[plan.copies[i].output], WorkKind::copy, i});
  }
  for (uint32_t i = 0; i < plan.layers.size(); ++i) {
    places.push_back({output_offsets[codes_output(*plan.layers[i])], WorkKind::tile, i});
  }
  for (uint32_t i = 0; i < plan.merges.size(); ++i) {
    places.push_back({output_offsets[plan.merges[i].output], WorkKind::merge, i});
  }
  std::stable_sort(places.begin(), places.end(),
                   [](const Place& a, const Place& b) { return a.offset < b.offset; });

  std::vector<WorkItem> items;
  for (const Place& place : places) {
    if (place.kind == WorkKind::merge) {
      const plan::PlannedMerge& merge = plan.merges[place.index];
      add_pieces(items, WorkKind::merge, place.index, static_cast<uint64_t>(merge.rows),
                 static_cast<uint64_t>(plan::merge_rows(merge, tile_bytes)));
      continue;
    }
    if (place.kind == WorkKind::copy) {
      add_pieces(items, WorkKind::copy, place.index, plan.copies[place.index].source->info.bytes(),
                 tile_bytes);
      continue;
    }
    if (octavo::needs_layer_absmax(plan.layers[place.index]->grid)) {
      add_layer(items, WorkKind::absmax, plan, place.index, tile_bytes);
    }
    add_layer(items, WorkKind::tile, plan, place.index, tile_bytes);
  }
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
