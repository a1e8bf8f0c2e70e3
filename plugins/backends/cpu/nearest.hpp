// Nearest and absmax for tiles, on the row kernels.
#pragma once

#include "lane_tools.hpp"

#include <octavo/abi/backend.h>

#include <cstdint>
#include <string>

namespace octavo::cpu {

// Why quantize_tile cannot take a grid with this source dtype; "" if it can.
std::string nearest_refusal(const octavo_grid& grid, std::uint32_t source_dtype);

// A tile that nearest_refusal and the shapes allow; false when the shapes do not (padding, a basis that does
// not divide the columns) and nothing was done. Rows with values that are not finite go to the reference.
bool quantize_tile(LaneTools& tools, const octavo_tile& tile, octavo_tile_result& result);

// Absmax of a layer; false when nothing was done, as above or because something is not finite.
bool find_absmax(LaneTools& tools, const octavo_grid* grid, const octavo_tensor& source,
                 octavo_absmax_result& result);

}  // namespace octavo::cpu
