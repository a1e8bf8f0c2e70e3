// Rounding with feedback in strips of 32 columns (feedback.cu): what a block of threads has in shared memory,
// and matrices four columns at a time.
#pragma once

#include "feedback.hpp"

#include <cstddef>
#include <cstdint>

namespace octavo::cuda {

constexpr int kStrip = 32;
constexpr int kRows = 32;
constexpr int kQuads = kStrip / 4;  // of four columns, in a row of a strip
constexpr int kStripStride = kStrip + 4;
constexpr int kSquare = kStrip * kStrip;
// A feeding warp has 4 rows, a lane of it 4 columns and a quarter of the depth. When all is added up, every
// feeder has 4 columns of one row.
constexpr int kFeedRows = 4;
constexpr int kParts = 32 / kQuads;
constexpr int kPartDepth = kStrip / kParts;
constexpr int kFeeders = kRows / kFeedRows * 32;
static_assert(kPartDepth % 4 == 0 && kFeedRows == kParts && kFeeders == kSquare / 4);
constexpr int kRoundThreads = kFeeders + kRows;

// What a strip needs in shared memory besides its sums; the next one's is brought while this one is rounded.
struct Strip {
  float source[kRows * kStripStride];  // then the codes
  float factor[kSquare];               // on the diagonal
  float pivots[kStrip];
};

struct Stage {
  Strip strips[2];
  float sums[kRows * kStripStride];  // source and what is fed to it
  float residuals[1];                // [kRows, stride]
};

constexpr __host__ __device__ int residual_stride(int cols) {
  return (cols + kStrip - 1) / kStrip * kStrip + 4;
}
constexpr std::size_t stage_bytes(int cols) {
  return offsetof(Stage, residuals) + sizeof(float) * kRows * static_cast<std::size_t>(residual_stride(cols));
}

__device__ inline bool is_wide(const View& view, int element) {
  return view.cols % 4 == 0 && view.stride % 4 == 0 &&
         reinterpret_cast<std::uintptr_t>(view.data) % static_cast<unsigned>(4 * element) == 0;
}

// Four columns of a row in shared memory or registers.
using Quad = float[4];

__device__ inline void unpack(const float4& four, Quad& values) {
  values[0] = four.x, values[1] = four.y, values[2] = four.z, values[3] = four.w;
}

__device__ inline void load_quad(const float* from, Quad& values) {
  unpack(*reinterpret_cast<const float4*>(from), values);
}

__device__ inline void store_quad(float* to, const Quad& values) {
  *reinterpret_cast<float4*>(to) = make_float4(values[0], values[1], values[2], values[3]);
}

// An f32 matrix in global memory whose rows are read and written four columns at a time.
struct Quads {
  const View& view;
  bool wide;

  __device__ explicit Quads(const View& of) : view(of), wide(is_wide(of, sizeof(float))) {}
  __device__ float* at(std::int64_t row, int col) const {
    return static_cast<float*>(view.data) + row * view.stride + col;
  }
  __device__ void load(std::int64_t row, int col, Quad& values) const {
    if (wide) {
      if (col < view.cols) load_quad(at(row, col), values);
      return;
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (col + i < view.cols) values[i] = at(row, col)[i];
    }
  }
  __device__ void store(std::int64_t row, int col, const Quad& values) const {
    if (wide) {
      if (col < view.cols) store_quad(at(row, col), values);
      return;
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (col + i < view.cols) at(row, col)[i] = values[i];
    }
  }
};

}  // namespace octavo::cuda
