// W8A8 around the integer product: tokens to codes before it, sums to outputs after it.
#pragma once

#include "launch.hpp"
#include "view.hpp"

#include <cstdint>

namespace octavo::cuda {

struct TokenJob {
  View x;  // [tokens, cols], any float dtype, in the grid's basis, rounded to compute_dtype
  std::uint32_t compute_dtype;
  std::int8_t* codes;  // [padded tokens, stride], 4-byte aligned; what lies beyond x becomes 0
  std::int64_t padded_tokens;
  std::int64_t stride;
  float* scales;  // [tokens]; NaN for a token with a value that is not finite
};
void quantize_tokens(const Launch& launch, const TokenJob& job);

// Copies I8 rows into memory with more rows and columns, which become 0.
void pad_codes(const Launch& launch, const View& codes, std::int8_t* target, std::int64_t rows,
               std::int64_t stride);

struct OutputJob {
  const std::int32_t* sums;  // [tokens, stride]
  std::int64_t sums_stride;
  const float* token_scales;
  View row_scales;  // f32 [rows, 1] or [1, 1]
  View bias;        // compute dtype [rows], or data nullptr
  View y;           // compute dtype [tokens, rows]
};
void finish_outputs(const Launch& launch, const OutputJob& job);

// The lower triangle of a square f32 matrix to the upper one.
void mirror(const Launch& launch, const View& matrix);

}  // namespace octavo::cuda
