// One code: from the scaled value t = w / s to what is stored, and back.
#pragma once

#include <octavo/abi/grid.h>

#include <cstdint>

namespace octavo::reference {

// Throws OCTAVO_UNSUPPORTED, naming what there is, unless codes of this grid can be made and read.
void check_codes(const octavo_grid& grid, const char* operation);

// Largest magnitude that the code itself has: qmax, 448, 57344 or 6.
float largest_code(const octavo_grid& grid);

// The value nearest to t on the grid of codes, ties to even, within the range of codes. For INTEGER_ZERO t
// includes the zero point.
float nearest_code(const octavo_grid& grid, float t);

// Writes and reads a value that nearest_code returned as element `index` of the codes.
void store_code(const octavo_grid& grid, float code, void* codes, std::int64_t index);
float load_code(const octavo_grid& grid, const void* codes, std::int64_t index);

}  // namespace octavo::reference
