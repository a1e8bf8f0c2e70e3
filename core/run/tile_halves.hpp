// A tile in two halves, for when memory runs out.
#pragma once

#include "plan/plan.hpp"
#include "run/work.hpp"

#include <octavo/abi/grid.h>

#include <vector>

namespace octavo::run {

// Two pieces of a tile, each of whole row multiples (plan::tile_row_multiple); none where there is only one,
// or where the layer must stay whole.
std::vector<WorkItem> plan_halves(const plan::PlannedLayer& layer, const WorkItem& tile);

// Adds what was found in a half.
void add_half(const octavo_tile_result& half, octavo_tile_result& whole);

}  // namespace octavo::run
