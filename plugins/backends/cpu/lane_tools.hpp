// What one lane works with: its kernels, its scratch memory, and the reference for what the kernels leave.
#pragma once

#include "algebra_kernels.hpp"
#include "memory.hpp"
#include "row_kernels.hpp"
#include "value_kernels.hpp"

#include <octavo/abi/backend.h>

#include <cstdint>

namespace octavo::cpu {

struct LaneTools {
  const RowKernels& rows;
  const ValueKernels& values;
  const AlgebraKernels& algebra;
  const octavo_operations& reference;
  Scratch decoded;  // rows that the kernels do not read in place
  Scratch rotated;  // rows in a rotated basis
  Scratch other;    // a second operand, or whatever an operation packs
};

// All sizes of a view must be what the kernels index: rank 2, this dtype, this shape.
inline bool is_matrix(const octavo_tensor& view, std::uint32_t dtype, std::int64_t rows, std::int64_t cols) {
  return view.rank == 2 && view.dtype == dtype && view.shape[0] == rows && view.shape[1] == cols;
}

}  // namespace octavo::cpu
