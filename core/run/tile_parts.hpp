// What is stored of a tile: its codes, scales and whatever else its format makes of them.
#pragma once

#include "plan/plan.hpp"
#include "run/output.hpp"

#include <octavo/abi/grid.h>

#include <cstddef>

namespace octavo::run {

// Writes the parts of a tile to their places. `block`: host memory laid out by plan::tile_offsets for the
// tile's rows, which holds them. A scale of the whole tensor is written with the first rows.
void write_parts(const plan::PlannedLayer& layer, const octavo_tile& tile, std::byte* block, Output& output);

}  // namespace octavo::run
