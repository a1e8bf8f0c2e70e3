// Bases, casts and dequantization on the kernels. Each function returns false when it does not cover its
// operands and has done nothing; the reference does them then.
#pragma once

#include "lane_tools.hpp"

#include <cstdint>

namespace octavo::cpu {

// To the grid's basis or back: the rotation is its own inverse.
bool change_basis(LaneTools& tools, const octavo_grid& grid, const octavo_tensor& source,
                  const octavo_tensor& target);

bool dequantize_tile(LaneTools& tools, const octavo_tile& tile, bool plain, const octavo_tensor& target);

bool cast_values(LaneTools& tools, const octavo_tensor& source, octavo_tensor& target, std::uint32_t flags,
                 octavo_cast_result& result);

// A tile of a CAST grid.
bool cast_tile(LaneTools& tools, const octavo_tile& tile, octavo_tile_result& result);

}  // namespace octavo::cpu
