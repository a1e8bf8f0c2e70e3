// Bringing rows to a grid's basis and back, and the largest magnitude there.
#pragma once

#include "launch.hpp"
#include "view.hpp"

#include <cstdint>

namespace octavo::cuda {

// The widest group that fits shared memory.
constexpr std::int64_t kLargestGroup = 4096;

struct BasisJob {
  View source;
  View target;             // f32; may have more columns than the source (zeros) or fewer
  std::int64_t group;      // 0: plain
  std::uint32_t rounding;  // dtype that values are rounded to before they are stored as f32
  bool check;              // make values 0 that a grid cannot take (from 2^118 on if rotated), and count them
};

// The wider of source and target has a multiple of `group` columns. Source and target may be the same. Rows
// that the target has beyond the source's become 0. Reports what `check` found.
void change_basis(const Launch& launch, const BasisJob& job);

struct AbsmaxJob {
  View source;
  std::int64_t cols;      // of the basis: the source's, or more
  std::int64_t group;     // 0: plain
  std::int64_t overflow;  // dtype whose range finite values are compared with, or -1
};

// Reports absmax, nonfinite values and overflows.
void find_absmax(const Launch& launch, const AbsmaxJob& job);

}  // namespace octavo::cuda
