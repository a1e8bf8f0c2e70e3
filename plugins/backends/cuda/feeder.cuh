// What the strips that are done feed to the next one, by all warps of a block but one.
#pragma once

#include "strip.cuh"

#include <cuda_pipeline_primitives.h>

namespace octavo::cuda {

__device__ inline void wait_for_block() { asm volatile("bar.sync 0, %0;" ::"n"(kRoundThreads) : "memory"); }
__device__ inline void wait_for_feeders() { asm volatile("bar.sync 1, %0;" ::"n"(kFeeders) : "memory"); }

// The squares of the factor that feed strips, in the order of their use: for every strip but the last, from
// the last square of its columns to the one below the diagonal. A feeder brings four entries of each.
class Squares {
 public:
  __device__ Squares(const View& factor, float* slots)
      : slots_(slots),
        down_(kStrip * factor.stride),
        rows_(static_cast<int>(factor.rows)),
        last_((rows_ - 1) / kStrip),
        strip_(last_ - 1),
        square_(last_) {
    const int row = static_cast<int>(threadIdx.x) / kQuads, col = static_cast<int>(threadIdx.x) % kQuads * 4;
    row_ = row;
    lowest_ = static_cast<const float*>(factor.data) + (last_ * kStrip + row) * factor.stride +
              strip_ * kStrip + col;
    from_ = lowest_;
    for (int i = 1; i < kSlots; ++i) fetch();
  }

  // The next one, [kStrip, kStrip]; all feeders are done with the one before.
  __device__ const float* next() {
    __pipeline_wait_prior(kSlots - 2);
    wait_for_feeders();
    fetch();
    return slots_ + taken_++ % kSlots * kSquare;
  }

 private:
  __device__ void fetch() {
    if (strip_ >= 0) {
      float* const slot = slots_ + (fetched_++ % kSlots) * kSquare + threadIdx.x * 4;
      if (square_ * kStrip + row_ < rows_)
        __pipeline_memcpy_async(slot, from_, 16);
      else
        store_quad(slot, {0.0f, 0.0f, 0.0f, 0.0f});
      from_ -= down_;
      if (--square_ == strip_) {
        --strip_;
        square_ = last_;
        lowest_ -= kStrip;
        from_ = lowest_;
      }
    }
    __pipeline_commit();
  }

  float* slots_;
  std::int64_t down_;    // from a square to the one below it
  const float* lowest_;  // this feeder's entries of a strip's last square
  const float* from_;    // of the one to be fetched
  int row_, rows_, last_;
  int strip_, square_;  // to be fetched
  int fetched_ = 0, taken_ = 0;
};

// What a feeder has of a strip.
struct Feeder {
  int quad;       // the first of its four columns, within the strip
  int part;       // of its half of the depth
  int half;       // of the depth
  int first_row;  // of its warp
  int own_row;    // of which it has the sums in the end
  float sums[kFeedRows][4];

  __device__ explicit Feeder(int thread)
      : quad(thread % kQuads * 4),
        part(thread % 32 / kQuads),
        half(thread / (32 * kFeedWarps)),
        first_row(thread / 32 % kFeedWarps * kFeedRows),
        own_row(first_row + part * kHalves + half) {}

  __device__ void clear() {
#pragma unroll
    for (Quad& row : sums) row[0] = row[1] = row[2] = row[3] = 0.0f;
  }

  // Adds what 32 columns feed; `residuals`: of these columns, in the block's first row.
  __device__ void add(const float* __restrict__ square, const float* __restrict__ residuals, int stride) {
    const int depth = (half * kParts + part) * kPartDepth;
    Quad factor[kPartDepth];
#pragma unroll
    for (int d = 0; d < kPartDepth; ++d) load_quad(square + (depth + d) * kStrip + quad, factor[d]);
#pragma unroll
    for (int i = 0; i < kFeedRows; ++i) {
      Quad left;
      load_quad(residuals + (first_row + i) * stride + depth, left);
#pragma unroll
      for (int d = 0; d < kPartDepth; ++d) {
#pragma unroll
        for (int c = 0; c < 4; ++c) sums[i][c] = __fmaf_rn(left[d], factor[d][c], sums[i][c]);
      }
    }
  }

  // Adds up parts and halves; what a lane has of rows that are not its own goes to the lanes whose own they
  // are.
  __device__ void reduce(float* half_sums, Quad& own) {
    exchange<kFeedRows / 2>(part / 2 != 0, 2 * kQuads);
    exchange<kFeedRows / 4>(part % 2 != 0, kQuads);
    const bool is_lower = half != 0;
    const int other_row = own_row + (is_lower ? -1 : 1);
    Quad sent;
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      own[c] = is_lower ? sums[1][c] : sums[0][c];
      sent[c] = is_lower ? sums[0][c] : sums[1][c];
    }
    store_quad(half_sums + other_row * kStripStride + quad, sent);
    wait_for_feeders();
    load_quad(half_sums + own_row * kStripStride + quad, sent);
#pragma unroll
    for (int c = 0; c < 4; ++c) own[c] = __fadd_rn(own[c], sent[c]);
  }

 private:
  template <int kKept>
  __device__ void exchange(bool keeps_upper, int distance) {
#pragma unroll
    for (int i = 0; i < kKept; ++i) {
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        const float sent = keeps_upper ? sums[i][c] : sums[i + kKept][c];
        const float kept = keeps_upper ? sums[i + kKept][c] : sums[i][c];
        sums[i][c] = __fadd_rn(kept, __shfl_xor_sync(~0u, sent, distance));
      }
    }
  }
};

}  // namespace octavo::cuda
