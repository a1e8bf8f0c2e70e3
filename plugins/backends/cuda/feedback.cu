// One thread has one row. The feedback of a column reaches all columns before it, so a thread keeps 32
// columns in registers and works through the block in strips of 32: first what the strips behind it add, then
// the 32 columns one after the other. Rows lie transposed in shared memory, where a warp reads and writes
// them in whole lines; the factor is the same for all threads and comes out of the cache.
#include "codes.cuh"
#include "feedback.hpp"
#include "status.hpp"

#include <algorithm>

namespace octavo::cuda {
namespace {

constexpr int kStrip = 32;
constexpr int kMostRows = 256;

// The memory of a warp's 32 rows: `columns` x (block's rows + 1) floats; the odd stride keeps reads along
// rows and along columns free of bank conflicts.
struct Transposed {
  float* data;
  int stride;
  __device__ float& at(int column, int row) const { return data[column * stride + row]; }
};

struct Place {
  std::int64_t first_row;  // of the warp
  int warp_row;            // the same within the block
  int lane;
};

// 32 columns from `column` of the warp's rows, between global memory and a strip.
__device__ inline void load_strip(const View& view, const Place& place, int column, int cols,
                                  const Transposed& strip, int strip_column) {
  if (column + place.lane >= cols) return;
  for (int r = 0; r < 32 && place.first_row + r < view.rows; ++r) {
    strip.at(strip_column + place.lane, place.warp_row + r) =
        static_cast<const float*>(view.data)[(place.first_row + r) * view.stride + column + place.lane];
  }
}

__device__ inline void store_strip(const View& view, const Place& place, int column, int cols,
                                   const Transposed& strip) {
  if (column + place.lane >= cols) return;
  for (int r = 0; r < 32 && place.first_row + r < view.rows; ++r) {
    static_cast<float*>(view.data)[(place.first_row + r) * view.stride + column + place.lane] =
        strip.at(column + place.lane, place.warp_row + r);
  }
}

__device__ inline void store_strip_codes(const FeedbackJob& job, const Place& place, int column, int cols,
                                         const Transposed& strip) {
  if (column + place.lane >= cols) return;
  for (int r = 0; r < 32 && place.first_row + r < job.codes.rows; ++r) {
    store_code(job.code, strip.at(place.lane, place.warp_row + r), job.codes.data,
               (place.first_row + r) * job.codes.stride + column + place.lane);
  }
}

__device__ inline const float* scale_row(const FeedbackJob& job, std::int64_t row) {
  return job.scales + (job.row_begin + row) / job.block_rows * job.scales_stride;
}

__device__ inline float scale_of(const FeedbackJob& job, const float* scales, int column) {
  return job.one_column ? scales[0] : scales[(job.col_begin + column) / job.block_cols];
}

__device__ __noinline__ float other_code(const CodePlan& plan, float t) { return nearest_code(plan, t); }

__device__ inline float code_of(const CodePlan& plan, float f, float scale) {
  if (!(scale > 0.0f)) return 0.0f;
  const float t = __fdiv_rn(f, scale);
  return is_integer(plan) ? fminf(fmaxf(rintf(t), plan.lowest), plan.highest) : other_code(plan, t);
}

// sums[c] += residual x factor[i, column + c] for the first `count` columns of a strip.
template <int kCount>
__device__ inline void add_row(const float* factor_row, float residual, float (&sums)[kStrip]) {
#pragma unroll
  for (int c = 0; c < kCount; c += 4) {
    const float4 factors = __ldg(reinterpret_cast<const float4*>(factor_row + c));
    const float four[4] = {factors.x, factors.y, factors.z, factors.w};
#pragma unroll
    for (int i = 0; i < 4 && c + i < kCount; ++i)
      sums[c + i] = __fadd_rn(sums[c + i], __fmul_rn(residual, four[i]));
  }
}

// Rounds column kColumn of the strip and the ones before it.
template <int kColumn>
__device__ inline void round_columns(const FeedbackJob& job, int column, int row, const float* scales,
                                     const Transposed& strip, const Transposed& rows, float (&sums)[kStrip]) {
  if (column + kColumn < job.source.cols) {
    const float scale = scale_of(job, scales, column + kColumn);
    const float code = code_of(job.code, sums[kColumn], scale);
    const float residual = __fsub_rn(strip.at(kColumn, row), __fmul_rn(code, scale));
    strip.at(kColumn, row) = code;
    rows.at(column + kColumn, row) = residual;
    const float* factor =
        static_cast<const float*>(job.factor.data) + (column + kColumn) * job.factor.stride + column;
    add_row<kColumn>(factor, residual, sums);
  }
  if constexpr (kColumn > 0) round_columns<kColumn - 1>(job, column, row, scales, strip, rows, sums);
}

__global__ void __launch_bounds__(kMostRows) round_block_kernel(const __grid_constant__ FeedbackJob job) {
  extern __shared__ float memory[];
  const int cols = static_cast<int>(job.source.cols);
  const int stride = static_cast<int>(blockDim.x) + 1;
  const Transposed rows{memory, stride};                   // work, then residuals
  const Transposed strip{memory + cols * stride, stride};  // source, then codes
  const int row = static_cast<int>(threadIdx.x);
  const Place place{std::int64_t{blockIdx.x} * blockDim.x + row / 32 * 32, row / 32 * 32, row % 32};
  const bool is_there = place.first_row + place.lane < job.source.rows;
  const float* scales = scale_row(job, is_there ? place.first_row + place.lane : 0);
  for (int column = 0; column < cols; column += kStrip)
    load_strip(job.work, place, column, cols, rows, column);
  for (int column = (cols - 1) / kStrip * kStrip; column >= 0; column -= kStrip) {
    load_strip(job.source, place, column, cols, strip, 0);
    __syncwarp();
    float sums[kStrip];
#pragma unroll
    for (int c = 0; c < kStrip; ++c) sums[c] = column + c < cols ? rows.at(column + c, row) : 0.0f;
    const float* factor = static_cast<const float*>(job.factor.data) + column;
#pragma unroll 2
    for (int i = cols - 1; i >= column + kStrip; --i)
      add_row<kStrip>(factor + i * job.factor.stride, rows.at(i, row), sums);
    round_columns<kStrip - 1>(job, column, row, scales, strip, rows, sums);
    __syncwarp();
    store_strip_codes(job, place, column, cols, strip);
    store_strip(job.residual, place, column, cols, rows);
    __syncwarp();
  }
}

__global__ void add_feedback_kernel(const View work, const View residual, const View factor,
                                    const View target) {
  const std::int64_t col = threadIdx.x;
  if (col >= target.cols) return;
  for (std::int64_t row = blockIdx.x; row < target.rows; row += gridDim.x) {
    const float* residuals = static_cast<const float*>(residual.data) + row * residual.stride;
    float sum = static_cast<const float*>(work.data)[row * work.stride + col];
    for (std::int64_t i = factor.rows - 1; i >= 0; --i) {
      const float entry = static_cast<const float*>(factor.data)[i * factor.stride + col];
      sum = __fadd_rn(sum, __fmul_rn(residuals[i], entry));
    }
    static_cast<float*>(target.data)[row * target.stride + col] = sum;
  }
}

}  // namespace

void round_block(const Launch& launch, const FeedbackJob& job) {
  const auto cols = static_cast<std::size_t>(job.source.cols);
  const auto shared_for = [&](std::int64_t rows) {
    return (cols + kStrip) * static_cast<std::size_t>(rows + 1) * sizeof(float);
  };
  // As many rows in a block as give every multiprocessor one, in whole warps.
  const std::int64_t share =
      (job.source.rows + launch.residency.multiprocessors() - 1) / launch.residency.multiprocessors();
  std::int64_t rows = std::clamp<std::int64_t>((share + 31) / 32 * 32, 32, kMostRows);
  while (rows > 32 && shared_for(rows) > launch.residency.shared_limit()) rows -= 32;
  const std::size_t shared = shared_for(rows);
  launch.residency.blocks(reinterpret_cast<const void*>(round_block_kernel), static_cast<unsigned>(rows),
                          shared);
  const auto blocks = static_cast<unsigned>((job.source.rows + rows - 1) / rows);
  if (blocks == 0) return;
  round_block_kernel<<<blocks, static_cast<unsigned>(rows), shared, launch.stream>>>(job);
  check_launch("round_feedback");
}

void add_feedback(const Launch& launch, const View& work, const View& residual, const View& factor,
                  const View& target) {
  const unsigned blocks = grid_for(launch, add_feedback_kernel, target.rows, kFeedbackColumns);
  add_feedback_kernel<<<blocks, kFeedbackColumns, 0, launch.stream>>>(work, residual, factor, target);
  check_launch("round_feedback");
}

}  // namespace octavo::cuda
