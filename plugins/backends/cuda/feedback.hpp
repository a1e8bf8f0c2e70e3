// The sequential part of LDLQ and GPTQ for one block of columns.
#pragma once

#include "codes.hpp"
#include "launch.hpp"
#include "view.hpp"

#include <cstdint>

namespace octavo::cuda {

// The most columns of one launch.
constexpr int kFeedbackColumns = 128;

struct FeedbackJob {
  View source;  // f32 [rows, cols], cols <= kFeedbackColumns; all views below as octavo_feedback has them
  View work;    // f32
  View factor;  // f32 [cols, cols]; readable, 16-byte aligned, up to the next multiple of 32 columns
  View codes;
  View residual;  // f32
  CodePlan code;
  const float* scales;  // of the layer
  std::int64_t scales_stride;
  std::int64_t row_begin;  // of the views within the layer
  std::int64_t col_begin;
  std::int64_t block_rows;  // rows and columns that share a scale
  std::int64_t block_cols;
  bool one_column;  // of scales: block_cols plays no part
};

// Every row alone, columns from the last to the first; products and sums in f32, fused, in the order of the
// columns.
void round_block(const Launch& launch, const FeedbackJob& job);

// target[r, k] = work[r, k] + the sum over i, from the last row of `factor` to the first, of residual[r, i] x
// factor[i, k]: the feedback of columns that are done. All f32; factor [residual.cols, work.cols].
void add_feedback(const Launch& launch, const View& work, const View& residual, const View& factor,
                  const View& target);

}  // namespace octavo::cuda
