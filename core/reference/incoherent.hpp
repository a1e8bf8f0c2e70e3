// The incoherent basis (octavo/incoherent.hpp) of a whole layer. Sums are made in f64 and rounded to f32
// after each side.
#pragma once

#include <octavo/abi/grid.h>

#include <cstdint>

namespace octavo::reference {

// Throws unless the grid's extent is one of powers of two.
void check_incoherent(const octavo_grid& grid, const char* operation);

// In place: f32 [grid.rows, grid.cols] with rows of `stride` elements, zero where the layer is padded.
void to_incoherent(const octavo_grid& grid, float* values, std::int64_t stride);
void from_incoherent(const octavo_grid& grid, float* values, std::int64_t stride);

}  // namespace octavo::reference
