// What the strips that are done feed to the next one, by all warps of a block but one.
#pragma once

#include "strip.cuh"

namespace octavo::cuda {

// The squares of the factor that feed strips, in the order of their use: for every strip but the last, from
// the last square of its columns to the one below the diagonal. A lane has its columns of its part of the
// depth in registers, and an entry is no sooner used than the next square's is on its way.
class Squares {
 public:
  __device__ Squares(const View& factor, int depth, int quad)
      : stride_(static_cast<int>(factor.stride)),
        rows_(static_cast<int>(factor.rows) - depth),
        last_((static_cast<int>(factor.rows) - 1) / kStrip),
        strip_(last_ - 1),
        square_(last_),
        from_(static_cast<const float*>(factor.data) + (last_ * kStrip + depth) * factor.stride +
              strip_ * kStrip + quad) {
#pragma unroll
    for (int d = 0; d < kPartDepth; ++d) bring(d);
  }

  // The square that is brought from now on.
  __device__ void advance() {
    from_ -= kStrip * stride_;
    if (--square_ > strip_) return;
    from_ += (last_ - strip_) * kStrip * stride_ - kStrip;
    square_ = last_;
    --strip_;
  }

  // Where there is no such row, what stays, which is finite, is multiplied by a residual of 0.
  __device__ void bring(int d) {
    if (d < rows_ - square_ * kStrip && strip_ >= 0)
      unpack(__ldg(reinterpret_cast<const float4*>(from_ + d * stride_)), entries_[d]);
  }

  __device__ const Quad& row(int d) const { return entries_[d]; }

 private:
  const int stride_, rows_, last_;  // rows: from this lane's part of the first square on
  int strip_, square_;              // of what is brought
  const float* from_;               // this lane's part of it
  Quad entries_[kPartDepth] = {};
};

// What a feeder has of a strip.
class Feeder {
 public:
  const int quad;     // the first of its four columns, within the strip
  const int own_row;  // of which it has the sums in the end

  __device__ Feeder(const View& factor, int thread)
      : quad(thread % kQuads * 4),
        own_row(thread / kQuads),
        first_row_(thread / 32 * kFeedRows),
        depth_(thread % 32 / kQuads * kPartDepth),
        squares_(factor, depth_, quad) {}

  __device__ void clear() {
#pragma unroll
    for (Quad& row : sums_) row[0] = row[1] = row[2] = row[3] = 0.0f;
  }

  // Adds what the next 32 columns feed; `residuals`: of these columns, in the block's first row.
  __device__ void add(const float* __restrict__ residuals, int stride) {
    squares_.advance();
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
            sums_[i][c] = __fmaf_rn(left[i][d], squares_.row(begin + d)[c], sums_[i][c]);
        }
        squares_.bring(begin + d);
      }
    }
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

  const int first_row_;  // of its warp
  const int depth_;      // its part of a square begins there
  Squares squares_;
  Quad sums_[kFeedRows];
};

}  // namespace octavo::cuda
