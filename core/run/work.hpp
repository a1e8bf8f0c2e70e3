// A plan cut into pieces of work, in the order in which lanes take them.
#pragma once

#include "plan/plan.hpp"
#include "plan/tile_shape.hpp"

#include <cstdint>
#include <vector>

namespace octavo::run {

enum class WorkKind {
  merge,             // rows [begin, begin + size) of a tensor into which something is merged
  copy,              // bytes [begin, begin + size) of a copied tensor
  absmax,            // rows [begin, begin + size) of a layer, for its absmax
  tile,              // rows [begin, begin + size) of a layer, to be quantized
  activation_scale,  // all kept rows of a layer's inputs, for a scale
};

struct WorkItem {
  WorkKind kind;
  uint32_t index;  // into Plan::merges, copies, layers or activation_scales
  uint32_t tile;   // number of the piece within its tensor
  uint64_t begin;
  uint64_t size;
};

// Order: by offset in the output, so that a writer that reserves blocks ahead is never waited for and never
// far behind; files of a sharded output take turns, piece by piece, so that lanes write to all of them at a
// time (but the pieces of a layer that is prepared, or is one tile, stay together). A layer's absmax pieces
// come before its first tile. Activation scales, which are few bytes, come last.
std::vector<WorkItem> cut_into_work(const plan::Plan& plan, const std::vector<uint64_t>& output_offsets,
                                    const plan::TileSizes& sizes);

// Layers in the order of their first tiles.
std::vector<uint32_t> layers_in_order(const std::vector<WorkItem>& items);

// The absmax pieces of all layers that `wanted` names, and nothing else.
std::vector<WorkItem> cut_into_measurements(const plan::Plan& plan, const std::vector<uint32_t>& wanted,
                                            const plan::TileSizes& sizes);

}  // namespace octavo::run
