// What is stored of a tile: its codes, scales and whatever else its format makes of them.
#pragma once

#include "plan/plan.hpp"
#include "run/output.hpp"
#include "run/slot.hpp"

#include <octavo/abi/grid.h>

namespace octavo::run {

// Writes the parts of a tile to their places, from the slot that holds it. A scale of the whole tensor is
// written with the first rows.
void write_parts(const plan::PlannedLayer& layer, const octavo_tile& tile, Slot& slot, Output& output);

}  // namespace octavo::run
