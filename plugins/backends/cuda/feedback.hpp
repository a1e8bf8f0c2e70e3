// The sequential part of LDLQ and GPTQ for one block of columns.
#pragma once

#include "codes.hpp"
#include "launch.hpp"
#include "view.hpp"

#include <cstdint>

namespace octavo::cuda {

// The most columns of one launch, where a block of threads can have the shared memory for it.
constexpr int kFeedbackColumns = 256;
int feedback_columns(const Launch& launch);

struct FeedbackJob {
  View source;  // f32 [rows, cols], cols <= feedback_columns(); all views below as octavo_feedback has them
  View fed;     // f32; data nullptr: nothing is fed back from outside
  View factor;  // f32 [cols, cols], finite; readable, 16-byte aligned, up to the next multiple of 32 columns;
                // data nullptr: every column alone, and there may be any number of them
  View codes;
  View residual;  // f32
  CodePlan code;
  const float* scales;  // of the layer
  std::int64_t scales_stride;
  std::int64_t row_begin;  // of the views within the layer
  std::int64_t col_begin;
  std::int64_t block_rows;  // rows and columns that share a scale
  std::int64_t block_cols;
  bool one_column;      // of scales: block_cols plays no part
  const float* pivots;  // for each column of the views; nullptr: no metric
  double* metric;       // for each row of the views, added to
  std::int64_t metric_stride;
};

// Every row alone, columns from the last to the first; products and sums in f32, fused.
void round_block(const Launch& launch, const FeedbackJob& job);

// target[r, k] = fed[r, k] (0 where its data is nullptr) + the sum over i, from the last row of `factor` to
// the first, of residual[r, i] x factor[i, k]: the feedback of columns that are done. All f32; factor
// [residual.cols, target.cols].
void add_feedback(const Launch& launch, const View& fed, const View& residual, const View& factor,
                  const View& target);

// metric[r] += the sum over k of pivots[k] x[r, k]^2, in f64.
void add_row_metric(const Launch& launch, const View& x, const float* pivots, double* metric,
                    std::int64_t metric_stride);

}  // namespace octavo::cuda
