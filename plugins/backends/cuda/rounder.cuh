// Codes of a row with feedback, by one thread.
#pragma once

#include "codes.cuh"
#include "nearest.cuh"
#include "strip.cuh"

namespace octavo::cuda {

// The scale of a column of a row, and its reciprocal where that is good for a quotient.
struct Scale {
  float value;
  float inverse;  // 0: divide
};

__device__ inline Scale scale_with_inverse(float value) {
  const bool is_usual = value > 1e-30f && value < 1e30f;
  return {value, is_usual ? __frcp_rn(value) : 0.0f};
}

struct Scales {
  const float* row;  // of this thread's row
  std::int64_t col_begin;
  std::int64_t block_cols;
  bool one_column;

  __device__ Scale at(int column) const {
    return scale_with_inverse(one_column ? row[0] : row[(col_begin + column) / block_cols]);
  }
};

__device__ inline Scales scales_of(const FeedbackJob& job, std::int64_t row) {
  return {job.scales + (job.row_begin + row) / job.block_rows * job.scales_stride, job.col_begin,
          job.block_cols, job.one_column};
}

// f / s, from a product t that is corrected once (nearest.cuh), which is as good as the division but in the
// last place.
__device__ inline float corrected(const Scale& scale, float f, float t) {
  return __fmaf_rn(__fmaf_rn(-t, scale.value, f), scale.inverse, t);
}

__device__ inline float quotient_by(const Scale& scale, float f) {
  const float limit = 1e6f;  // beyond all codes; keeps the rest finite
  return corrected(scale, f, fminf(fmaxf(__fmul_rn(f, scale.inverse), -limit), limit));
}

__device__ __noinline__ float other_code(const CodePlan& plan, float f, float scale) {
  return scale > 0.0f ? nearest_code(plan, __fdiv_rn(f, scale)) : 0.0f;
}

__device__ inline float code_of(const CodePlan& plan, float f, const Scale& scale) {
  if (scale.inverse == 0.0f || !is_integer(plan)) return other_code(plan, f, scale.value);
  return fminf(fmaxf(rintf(quotient_by(scale, f)), plan.lowest), plan.highest);
}

// How a row's columns are rounded. Values are lifted by a power of two to where its quotients are exact, and
// lowered again.

// Any code, any scales, in a block that may end within a strip.
struct AnyCode {
  static constexpr bool kWholeStrips = false;
  const CodePlan& plan;
  Scales scales;
  Scale scale;  // where there is one for all columns
  int cols;

  __device__ AnyCode(const FeedbackJob& job, const Scales& row)
      : plan(job.code),
        scales(row),
        scale(row.one_column ? row.at(0) : Scale{}),
        cols(static_cast<int>(job.source.cols)) {}
  __device__ bool has(int column) const { return column < cols; }
  __device__ static float lifted(float value) { return value; }
  __device__ static float lowered(float value) { return value; }
  __device__ Scale scale_of(int column) const { return scales.one_column ? scale : scales.at(column); }
  __device__ float code(float f, const Scale& by) const { return code_of(plan, f, by); }
};

// Integers with one scale, in a block of whole strips.
struct RowCode {
  static constexpr bool kWholeStrips = true;
  Scale scale;  // lifted to where quotients are exact; of 0 all codes are 0
  float lift, lower;
  float lowest, highest;  // of the values that have a code

  __device__ RowCode(const FeedbackJob& job, const Scales& row) {
    const float value = row.row[0];
    lift = value <= 1e-30f ? 0x1p64f : value >= 1e30f ? 0x1p-64f : 1.0f;
    lower = 1.0f / lift;
    scale = scale_with_inverse(value * lift);
    lowest = job.code.lowest * scale.value;
    highest = job.code.highest * scale.value;
  }
  __device__ static constexpr bool has(int) { return true; }
  __device__ float lifted(float value) const { return __fmul_rn(value, lift); }
  __device__ float lowered(float value) const { return __fmul_rn(value, lower); }
  __device__ Scale scale_of(int) const { return scale; }
  // A value that is clamped before is a quotient that needs no clamp, on a path that is shorter by one.
  __device__ float code(float f, const Scale& by) const {
    const float clamped = fminf(fmaxf(f, lowest), highest);
    const float t = corrected(by, clamped, __fmul_rn(clamped, by.inverse));
    return __fadd_rn(__fadd_rn(t, kRoundingShift), -kRoundingShift);
  }
};

// A row of a strip in shared memory.
struct RowPlace {
  const float* __restrict__ factor;  // [kStrip, kStrip]
  const float* __restrict__ pivots;
  const float* __restrict__ sums;
  float* __restrict__ source;  // then the codes
  float* __restrict__ residuals;
};

// sums[c] += residual x factor[c] for c < count.
__device__ inline void add_row(const float* __restrict__ factor, float residual, float (&sums)[kStrip],
                               int count) {
#pragma unroll
  for (int c = 0; c < kStrip; c += 4) {
    if (c >= count) break;
    Quad four;
    load_quad(factor + c, four);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (c + i < count) sums[c + i] = __fmaf_rn(residual, four[i], sums[c + i]);
    }
  }
}

// Rounds the strip that begins at `column`, from its last column to its first. Returns the metric of what it
// leaves. What loops over columns is unrolled, so that every count is a constant and the sums stay in
// registers.
template <typename Coder>
__device__ inline float round_strip(const Coder& coder, const RowPlace& at, int column) {
  float metric = 0.0f;
  float sums[kStrip];
#pragma unroll
  for (int c = 0; c < kStrip; c += 4) {
    Quad four;
    load_quad(at.sums + c, four);
#pragma unroll
    for (int i = 0; i < 4; ++i) sums[c + i] = coder.lifted(four[i]);
  }
#pragma unroll
  for (int quad = kStrip - 4; quad >= 0; quad -= 4) {
    Quad source, pivots, codes = {}, residuals = {};
    load_quad(at.source + quad, source);
    load_quad(at.pivots + quad, pivots);
#pragma unroll
    for (int i = 3; i >= 0; --i) {
      const int c = quad + i;
      if (!coder.has(column + c)) continue;
      const Scale scale = coder.scale_of(column + c);
      codes[i] = coder.code(sums[c], scale);
      const float stored = __fmul_rn(codes[i], scale.value);
      const float residual = __fsub_rn(coder.lifted(source[i]), stored);
      add_row(at.factor + c * kStrip, residual, sums, c);
      const float left = coder.lowered(__fsub_rn(sums[c], stored));
      metric = __fmaf_rn(__fmul_rn(pivots[i], left), left, metric);
      residuals[i] = coder.lowered(residual);
    }
    store_quad(at.source + quad, codes);
    store_quad(at.residuals + quad, residuals);
  }
  return metric;
}

}  // namespace octavo::cuda
