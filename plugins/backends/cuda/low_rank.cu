// A block makes 64 x 64 elements, a thread 4 x 4 of them, 16 of the rank at a time. Every element's sum runs
// through the rank in order and multiplication and addition stay apart, so the bits are the reference's;
// tensor cores cannot do that.
#include "convert.cuh"
#include "low_rank.hpp"
#include "status.hpp"

namespace octavo::cuda {
namespace {

constexpr int kTile = 64;
constexpr int kDepth = 16;
constexpr int kEach = 4;
constexpr int kThreads = (kTile / kEach) * (kTile / kEach);

struct Merge {
  View source;
  View up;
  View down;
  View target;
  float strength;
};

struct Stage {
  float up[kDepth][kTile + 4];
  float down[kDepth][kTile];
};

__device__ inline float at(const View& view, std::int64_t row, std::int64_t col) {
  if (row >= view.rows || col >= view.cols) return 0.0f;
  return static_cast<const float*>(view.data)[row * view.stride + col];
}

__device__ inline void load_stage(const Merge& args, std::int64_t row, std::int64_t col, std::int64_t first,
                                  Stage& stage) {
  for (int i = static_cast<int>(threadIdx.x); i < kTile * kDepth; i += kThreads) {
    stage.up[i % kDepth][i / kDepth] = at(args.up, row + i / kDepth, first + i % kDepth);
    stage.down[i / kTile][i % kTile] = at(args.down, first + i / kTile, col + i % kTile);
  }
}

__device__ inline void add_products(const Stage& stage, int depth, int row, int col,
                                    float (&sums)[kEach][kEach]) {
  for (int k = 0; k < depth; ++k) {
    float left[kEach], right[kEach];
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      left[i] = stage.up[k][row + i];
      right[i] = stage.down[k][col + i];
    }
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
#pragma unroll
      for (int j = 0; j < kEach; ++j) sums[i][j] = __fadd_rn(sums[i][j], __fmul_rn(left[i], right[j]));
    }
  }
}

__global__ void __launch_bounds__(kThreads) merge_kernel(const Merge args) {
  __shared__ Stage stage;
  const std::int64_t tiles_across = (args.target.cols + kTile - 1) / kTile;
  const std::int64_t row = blockIdx.x / tiles_across * kTile;
  const std::int64_t col = blockIdx.x % tiles_across * kTile;
  const int own_row = static_cast<int>(threadIdx.x) / (kTile / kEach) * kEach;
  const int own_col = static_cast<int>(threadIdx.x) % (kTile / kEach) * kEach;
  const std::int64_t rank = args.up.cols;
  float sums[kEach][kEach] = {};
  for (std::int64_t first = 0; first < rank; first += kDepth) {
    __syncthreads();
    load_stage(args, row, col, first, stage);
    __syncthreads();
    add_products(stage, rank - first < kDepth ? static_cast<int>(rank - first) : kDepth, own_row, own_col,
                 sums);
  }
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
#pragma unroll
    for (int j = 0; j < kEach; ++j) {
      const std::int64_t r = row + own_row + i, c = col + own_col + j;
      if (r >= args.target.rows || c >= args.target.cols) continue;
      const float weight = load(args.source.data, args.source.dtype, r * args.source.stride + c);
      static_cast<float*>(args.target.data)[r * args.target.stride + c] =
          __fadd_rn(weight, __fmul_rn(args.strength, sums[i][j]));
    }
  }
}

}  // namespace

void merge_low_rank(const Launch& launch, const View& source, const View& up, const View& down,
                    float strength, const View& target) {
  const std::int64_t tiles = (target.rows + kTile - 1) / kTile * ((target.cols + kTile - 1) / kTile);
  if (tiles == 0) return;
  merge_kernel<<<static_cast<unsigned>(tiles), kThreads, 0, launch.stream>>>(
      {source, up, down, target, strength});
  check_launch("merge_low_rank");
}

}  // namespace octavo::cuda
