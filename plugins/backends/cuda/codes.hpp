// A grid's codes and scales as kernels see them.
#pragma once

#include <octavo/abi/grid.h>

#include <cstdint>

namespace octavo::cuda {

struct CodePlan {
  std::uint32_t code;   // octavo_code
  std::uint32_t dtype;  // of one stored code
  float lowest;         // of integers
  float highest;
  float limit;  // largest magnitude that a code itself has
};

// One level of scales. Cells at the right and lower edge may be smaller than a block.
struct LevelPlan {
  std::int64_t block_rows;
  std::int64_t block_cols;
  std::int64_t rows;  // of cells
  std::int64_t cols;
  void* stored;  // as in the tile, or nullptr: this level is not written
  std::int64_t stride;
  std::uint32_t dtype;
  std::uint32_t rule;
  float divisor;  // largest code x largest next level
  float floor;
  float* values;  // the stored scales as f32, packed
};

struct ZeroPlan {
  void* stored;  // nullptr: no zero points
  std::int64_t stride;
  std::uint32_t dtype;
  float* values;  // packed as level 0's scales
};

}  // namespace octavo::cuda
