// A better scale for each row than absmax / 127: of some candidates around it, the one that leaves the
// smallest squared error to nearest codes. Half of what it gains is a luckier phase of the rounding, half a
// clipped outlier.
#pragma once

#include <octavo/abi/grid.h>
#include <octavo/lane.hpp>
#include <octavo/plugin.hpp>

#include <cstdint>

namespace octavo::scale_search {

// Declared by optimizers that have it.
inline constexpr octavo_param kParameter = integer_param(
    "scale_search", "0", 0, 256,
    "Scales tried for each row beside absmax / 127, from 0.9 to 1.02 times it; 0: none (grids with one "
    "scale for a row only)");

// Whether there is something to search: signed integers in I8 with one F32 scale for each row.
bool applies_to(const octavo_grid& grid);

// Replaces scales (f32 [rows, 1]) by better ones for weight (f32 [rows, cols], in the grid's basis), both in
// the lane's memory. A scale is replaced on a strictly smaller error only, and errors are f64 sums in one
// fixed order, made on the CPU: every backend comes to the same scales (class A). Returns how many rows have
// a new one.
std::int64_t search(octavo_lane& lane, const octavo_grid& grid, const octavo_tensor& weight,
                    const octavo_tensor& scales, std::int64_t candidates);

// Nearest for a tile of a grid that it applies to, with searched scales. Tiles with values that are not
// finite are left to nearest's own scales.
void quantize(octavo_lane& lane, const octavo_tile& tile, octavo_tile_result& result,
              std::int64_t candidates);

}  // namespace octavo::scale_search
