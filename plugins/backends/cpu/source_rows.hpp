// Rows of a view as something the row kernels read: in place where they can, else decoded into scratch.
#pragma once

#include "memory.hpp"
#include "row_kernels.hpp"

#include <octavo/abi/tensor.h>

#include <cstdint>

namespace octavo::cpu {

class SourceRows {
 public:
  // The view has one of the weight dtypes; it and the scratch outlive this object.
  SourceRows(const octavo_tensor& view, Scratch& scratch) : view_(view), scratch_(scratch) {}

  // The view's memory from [row, col] on, to be fetched ahead of its use; nothing beyond the last row.
  Ahead ahead(std::int64_t row, std::int64_t col) const;

  // Columns [col, col + cols) of rows [row, row + rows). Valid until the next call.
  Values at(std::int64_t row, std::int64_t rows, std::int64_t col, std::int64_t cols) const;

 private:
  const octavo_tensor& view_;
  Scratch& scratch_;
};

// F32 of `count` values of any weight dtype, F64 rounded half to even.
void decode(const void* values, std::uint32_t dtype, std::int64_t count, float* target);

}  // namespace octavo::cpu
