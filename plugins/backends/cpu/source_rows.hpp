// Rows of a view as something the row kernels read: in place where they can, else decoded into scratch.
#pragma once

#include "memory.hpp"
#include "row_kernels.hpp"
#include "value_kernels.hpp"

#include <octavo/abi/tensor.h>

#include <cstdint>

namespace octavo::cpu {

class SourceRows {
 public:
  // The view is a matrix of one of the weight dtypes; it, the kernels and the scratch outlive this object.
  SourceRows(const octavo_tensor& view, const ValueKernels& kernels, Scratch& scratch)
      : view_(view), kernels_(kernels), scratch_(scratch) {}

  // The view's memory from [row, col] on, to be fetched ahead of its use; nothing beyond the last row.
  Ahead ahead(std::int64_t row, std::int64_t col) const;

  // Columns [col, col + cols) of rows [row, row + rows). Valid until the next call.
  Values at(std::int64_t row, std::int64_t rows, std::int64_t col, std::int64_t cols) const;

  // One whole row.
  Values row(std::int64_t row) const { return at(row, 1, 0, view_.shape[1]); }

  // One whole row as F32 in `target`.
  void copy_row(std::int64_t row, float* target) const;

 private:
  const char* start(std::int64_t row, std::int64_t col) const;

  const octavo_tensor& view_;
  const ValueKernels& kernels_;
  Scratch& scratch_;
};

}  // namespace octavo::cpu
