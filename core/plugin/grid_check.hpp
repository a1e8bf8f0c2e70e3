// A grid that comes from a plugin, before anything is computed with it.
#pragma once

#include <octavo/abi/grid.h>

#include <cstdint>
#include <string>

namespace octavo::plugin {

// What is wrong with `grid` for a layer of rows x cols, as a sentence; "" if nothing is. Every member that
// the host or a backend computes with is looked at: dtypes, ranges, levels, block sizes, basis group, padded
// shape.
std::string grid_fault(const octavo_grid& grid, std::int64_t rows, std::int64_t cols);

// Why no operation quantizes to a grid that can be, and may be found in files; "" if some do.
std::string quantize_fault(const octavo_grid& grid);

}  // namespace octavo::plugin
