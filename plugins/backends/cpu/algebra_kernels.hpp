// Kernels for low-rank merges, rounding with feedback and W8A8. Compiled once per instruction set.
#pragma once

#include "targets.hpp"

#include <cstddef>
#include <cstdint>

namespace octavo::cpu {

// Columns that `merge` handles at a time, and rows that `round_rows` does.
struct AlgebraWidths {
  std::size_t merge_cols;
  std::size_t feedback_rows;
};

// target = source + strength x (up down) for some rows and at most merge_cols columns; each element adds its
// products in the order of the rank, from 0, without contraction.
struct Merge {
  const float* up;  // [rows, rank]
  std::ptrdiff_t up_stride;
  const float* down;  // [rank, merge_cols], packed
  std::size_t rank;
  std::size_t rows;
  std::size_t cols;
  float strength;
  const float* source;  // [rows, cols]
  std::ptrdiff_t source_stride;
  float* target;  // [rows, cols]
  std::ptrdiff_t target_stride;
};

// feedback_rows rows of a block, transposed: each array is [cols, feedback_rows].
struct FeedbackBlock {
  std::size_t cols;
  const float* factor;  // [cols, cols]; nullptr: every column alone
  std::ptrdiff_t factor_stride;
  const float* source;
  const float* scales;
  float qmin;
  float qmax;
  const float* pivots;  // [cols]; nullptr: no metric
  float* work;          // read; overwritten with the codes, as f32
  float* residual;      // written
  float* metric;        // written, [feedback_rows]: the sum of this block
};

struct AlgebraKernels {
  AlgebraWidths widths;
  void (*merge)(const Merge& merge);
  void (*round_rows)(const FeedbackBlock& block);
  // codes = clamp(rint(C(x / divisor)), -128, 127), C: rounded to `dtype` (F32, BF16, F16). x is finite.
  void (*quantize_token)(const float* x, std::size_t count, float divisor, std::uint32_t dtype,
                         std::int8_t* codes);
  // C of each value, half to even. Values are finite.
  void (*round_to)(const float* x, std::size_t count, std::uint32_t dtype, float* target);
  // y = C(sum x (token_scale x scale)), then C(y + bias) if there is a bias (f32 of values of `dtype`).
  // `scales`: one for each sum, or one for all.
  void (*rescale)(const std::int32_t* sums, std::size_t count, float token_scale, const float* scales,
                  bool one_scale, const float* bias, std::uint32_t dtype, void* y);
};

// nullptr for Simd::scalar.
const AlgebraKernels* algebra_kernels(Simd simd);

}  // namespace octavo::cpu
