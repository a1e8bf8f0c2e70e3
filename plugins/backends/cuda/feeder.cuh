// What the strips that are done feed to the next one, by all warps of a block but one.
#pragma once

#include "strip.cuh"

namespace octavo::cuda {

// What a thread has of a strip in the end: four columns of one row.
struct Own {
  int row;
  int quad;  // the first of the columns
};

// A thread that adds up: four columns of four rows, over a part of the depth. It has a square of the factor
// in registers, and loads the next one's entries while it uses them; the compiler moves these loads behind
// the last use, so they must be short: each square is prefetched to the L1 cache, where all warps find it,
// when the one beside it, which feeds the strip before, is used. kWholeStrips: the factor has a multiple of
// 32 rows.
template <bool kWholeStrips>
class Feeder {
 public:
  const Own own;

  // `column`, `done`: of the first square that is used; where none is, of one that is there.
  __device__ Feeder(const View& factor, int thread, int column, int done)
      : own{thread / kQuads, thread % kQuads * 4},
        first_row_(thread / 32 * kFeedRows),
        depth_(thread % 32 / kQuads * kPartDepth),
        stride_(static_cast<int>(factor.stride)),
        rows_(static_cast<int>(factor.rows)),
        factor_(static_cast<const float*>(factor.data) + own.quad) {
    const float* const first = part_of_square(column, done);
#pragma unroll
    for (int d = 0; d < kPartDepth; ++d) bring(first, done, d);
  }

  __device__ void clear() {
#pragma unroll
    for (Quad& row : sums_) row[0] = row[1] = row[2] = row[3] = 0.0f;
  }

  // Adds what 32 columns feed; `residuals`: of these columns, in the block's first row. `column`, `done`: of
  // the square that is used next, by which the columns from `done` on feed those from `column` on.
  __device__ void add(const float* __restrict__ residuals, int stride, int column, int done) {
    const float* const next = part_of_square(column, done);
#pragma unroll
    for (int begin = 0; begin < kPartDepth; begin += 4) {
      Quad left[kFeedRows];
#pragma unroll
      for (int i = 0; i < kFeedRows; ++i)
        load_quad(residuals + (first_row_ + i) * stride + depth_ + begin, left[i]);
#pragma unroll
      for (int d = 0; d < 4; ++d) {
#pragma unroll
        for (int i = 0; i < kFeedRows; ++i) {
#pragma unroll
          for (int c = 0; c < 4; ++c)
            sums_[i][c] = __fmaf_rn(left[i][d], entries_[begin + d][c], sums_[i][c]);
        }
        bring(next, done, begin + d);
      }
    }
  }

  // By all feeders. None where there is no such strip.
  __device__ void prefetch(int column, int done) const {
    if (column < 0 || done + own.row >= rows_) return;
    const float* const from = factor_ + (done + own.row) * stride_ + column;
    asm volatile("prefetch.global.L1 [%0];" ::"l"(__cvta_generic_to_global(from)));
  }

  // Adds up the parts of the depth: what a lane has of rows that are not its own goes to the lanes whose own
  // they are.
  __device__ const Quad& reduce() {
    const int part = depth_ / kPartDepth;
    exchange<kFeedRows / 2>(part / 2 != 0, 2 * kQuads);
    exchange<kFeedRows / 4>(part % 2 != 0, kQuads);
    return sums_[0];
  }

 private:
  __device__ const float* part_of_square(int column, int done) const {
    return factor_ + (done + depth_) * stride_ + column;
  }

  // Where there is no such row, what stays, which is finite, is multiplied by a residual of 0.
  __device__ void bring(const float* part, int done, int d) {
    if (kWholeStrips || done + depth_ + d < rows_)
      unpack(__ldg(reinterpret_cast<const float4*>(part + d * stride_)), entries_[d]);
  }

  template <int kKept>
  __device__ void exchange(bool keeps_upper, int distance) {
#pragma unroll
    for (int i = 0; i < kKept; ++i) {
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        const float sent = keeps_upper ? sums_[i][c] : sums_[i + kKept][c];
        const float kept = keeps_upper ? sums_[i + kKept][c] : sums_[i][c];
        sums_[i][c] = __fadd_rn(kept, __shfl_xor_sync(~0u, sent, distance));
      }
    }
  }

  const int first_row_;        // of its warp
  const int depth_;            // its part of a square begins there
  const int stride_, rows_;    // of the factor
  const float* const factor_;  // from this thread's columns on
  Quad entries_[kPartDepth] = {};
  Quad sums_[kFeedRows];
};

}  // namespace octavo::cuda
