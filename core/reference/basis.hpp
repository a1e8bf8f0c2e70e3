// The basis of a grid: rows in plain coordinates to rows in the grid's, and back.
//
// ConvRot multiplies each group of columns by the regular Hadamard matrix kron(H4, ..., H4) / sqrt(group).
// The stages and the order of every addition are part of the definition (abi/grid.h).
#pragma once

#include <octavo/abi/backend.h>

#include <cstdint>
#include <span>

namespace octavo::reference {

// Throws unless rows of `cols` values can be brought to this basis, naming what is supported.
void check_basis(const octavo_grid& grid, std::int64_t cols, const char* operation);

// In place, forth and back alike: the matrix is its own inverse. Plain and format-given bases change nothing,
// and the incoherent one is no matter of rows (reference/incoherent.hpp).
void apply_basis(const octavo_grid& grid, std::span<float> row);

// Finite, and in a rotated basis below 2^118 in magnitude, so that no sum of 256 overflows.
bool is_usable(const octavo_grid* grid, float value);

octavo_status to_basis(octavo_lane*, const octavo_grid* grid, const octavo_tensor* source,
                       octavo_tensor* target, octavo_error* error);
octavo_status from_basis(octavo_lane*, const octavo_grid* grid, const octavo_tensor* source,
                         octavo_tensor* target, octavo_error* error);

}  // namespace octavo::reference
