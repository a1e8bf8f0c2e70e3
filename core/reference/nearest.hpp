// Nearest for a tile, absmax of a layer, dequantize: everything about codes and their scales.
//
// Values that are not usable (NaN, infinity, in a rotated basis also |w| >= 2^118) are counted, with the
// index of the first one, and then count as 0, so that a tile is always written whole; whether such a tile
// may be kept is the host's decision. CAST grids pass them on unless OCTAVO_TILE_ZERO_NONFINITE is set.
#pragma once

#include <octavo/abi/backend.h>

#include <cstdint>

namespace octavo::reference {

octavo_status quantize_nearest(octavo_lane*, const octavo_tile* tile, octavo_tile_result* result,
                               octavo_error* error);
octavo_status absmax(octavo_lane*, const octavo_grid* grid, const octavo_tensor* source, std::uint32_t flags,
                     octavo_absmax_result* result, octavo_error* error);
octavo_status dequantize(octavo_lane*, const octavo_tile* tile, std::uint32_t plain, octavo_tensor* target,
                         octavo_error* error);

// A tile of a CAST grid.
void cast_tile(const octavo_tile& tile, octavo_tile_result& result);

// Sets everything that quantize_nearest reports to "nothing found".
void clear_result(octavo_tile_result& result);

}  // namespace octavo::reference
