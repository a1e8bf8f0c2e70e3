// Which bases the kernels know.
#pragma once

#include <octavo/abi/grid.h>

#include <cstdint>

namespace octavo::cpu {

inline bool is_rotated(const octavo_grid& grid) { return grid.basis == OCTAVO_BASIS_CONVROT; }

// Plain, a format's own, or rotated in groups of 16, 64 or 256 that divide the columns.
inline bool has_fast_basis(const octavo_grid& grid, std::int64_t cols) {
  if (!is_rotated(grid)) return grid.basis == OCTAVO_BASIS_PLAIN || grid.basis == OCTAVO_BASIS_FORMAT;
  const std::int64_t group = grid.basis_group;
  return (group == 16 || group == 64 || group == 256) && cols % group == 0;
}

// The rotation without its last multiplication leaves multiples of this power of two.
inline float rotation_unit(std::int64_t group) {
  return group == 256 ? 1.0f / 16 : group == 64 ? 1.0f / 8 : 1.0f / 4;
}

}  // namespace octavo::cpu
