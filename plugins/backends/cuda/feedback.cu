// A block of threads has 32 rows, whose columns it takes in strips of 32, from the last one to the first. One
// warp, the rounder, goes through a strip column after column, a row to a thread: a column is fed what the
// ones behind it leave before it is rounded, so this cannot be spread. The other warps, the feeders,
// meanwhile add up what the strips that are done feed to the next one, so that only what the strip in between
// feeds is left when that is rounded. They take the factor in squares of 32 x 32, one ahead of its use: 4
// rows x 4 columns and a quarter of the square's depth to a thread, and 4 rows to a warp, so that feeders
// wait for the rounder only. Residuals stay in shared memory, at a stride of 4 floats more than a row has, so
// that rows do not meet in a bank.
#include "feedback.hpp"
#include "feeder.cuh"
#include "reduce.cuh"
#include "rounder.cuh"
#include "status.hpp"

namespace octavo::cuda {
namespace {

constexpr int kThreads = 256;  // of the kernels for single rows

__device__ inline void store_codes(const FeedbackJob& job, std::int64_t row, int col, const Quad& codes) {
  const std::int64_t start = row * job.codes.stride + col;
  if (job.code.dtype == OCTAVO_I8 && is_wide(job.codes, 1)) {
    if (col < job.codes.cols) {
      *reinterpret_cast<char4*>(static_cast<std::int8_t*>(job.codes.data) + start) =
          make_char4(static_cast<signed char>(codes[0]), static_cast<signed char>(codes[1]),
                     static_cast<signed char>(codes[2]), static_cast<signed char>(codes[3]));
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (col + i < job.codes.cols) store_code(job.code, codes[i], job.codes.data, start + i);
  }
}

// What a feeder brings of a strip from global memory, while others are added up.
struct Brought {
  Quad source = {}, fed = {}, factor = {};

  __device__ Brought(const FeedbackJob& job, const Own& own, std::int64_t first_row, int column) {
    const std::int64_t row = first_row + own.row;
    if (row < job.source.rows) {
      Quads(job.source).load(row, column + own.quad, source);
      if (job.fed.data != nullptr) Quads(job.fed).load(row, column + own.quad, fed);
    }
    const int diagonal_row = column + static_cast<int>(threadIdx.x) / kQuads;
    if (diagonal_row < job.factor.rows) {
      load_quad(
          static_cast<const float*>(job.factor.data) + diagonal_row * job.factor.stride + column + own.quad,
          factor);
    }
  }

  __device__ void store(const Own& own, Strip& strip) const {
    store_quad(strip.source + own.row * kStripStride + own.quad, source);
    store_quad(strip.factor + threadIdx.x * 4, factor);
  }
};

// Residuals and codes of a strip that is done.
__device__ inline void store_strip(const FeedbackJob& job, const Own& own, std::int64_t first_row, int column,
                                   const Strip& strip, const float* residuals, int stride) {
  const std::int64_t row = first_row + own.row;
  const int col = column + own.quad;
  if (row >= job.source.rows) return;
  Quad values;
  load_quad(residuals + own.row * stride + col, values);
  Quads(job.residual).store(row, col, values);
  load_quad(strip.source + own.row * kStripStride + own.quad, values);
  store_codes(job, row, col, values);
}

// Of all threads, which come to it from two loops.
__device__ inline void wait_for_block() { asm volatile("bar.sync 0;" ::: "memory"); }

template <bool kWholeStrips>
__device__ inline void feed_strips(const FeedbackJob& job, Stage& stage, std::int64_t first_row) {
  const int thread = static_cast<int>(threadIdx.x), cols = static_cast<int>(job.source.cols);
  const int stride = residual_stride(cols), last = (cols - 1) / kStrip * kStrip;
  Feeder<kWholeStrips> feeder(job.factor, thread, max(last - kStrip, 0), last);
  for (int column = last; column >= 0; column -= kStrip) {
    Strip& strip = stage.strips[column / kStrip % 2];
    if (column + 2 * kStrip <= last)
      store_strip(job, feeder.own, first_row, column + 2 * kStrip, strip, stage.residuals, stride);
    const Brought brought(job, feeder.own, first_row, column);
    feeder.clear();
    feeder.prefetch(column - kStrip, column);
    for (int done = last; done > column + kStrip; done -= kStrip) {
      feeder.prefetch(column - kStrip, done);
      feeder.add(stage.residuals + done, stride, column, done - kStrip);
    }
    brought.store(feeder.own, strip);
    if (thread < kStrip)
      strip.pivots[thread] =
          job.pivots != nullptr && column + thread < cols ? job.pivots[column + thread] : 0.0f;
    wait_for_block();  // the strip behind is rounded
    if (column < last) {
      feeder.prefetch(column - kStrip, column + kStrip);
      feeder.add(stage.residuals + column + kStrip, stride, max(column - kStrip, 0), last);
    }
    const Quad& fed = feeder.reduce();
    Quad sums;
#pragma unroll
    for (int c = 0; c < 4; ++c) sums[c] = __fadd_rn(__fadd_rn(brought.source[c], brought.fed[c]), fed[c]);
    store_quad(stage.sums + feeder.own.row * kStripStride + feeder.own.quad, sums);
    wait_for_block();  // this one can be
  }
  wait_for_block();
  for (int column = min(last, kStrip); column >= 0; column -= kStrip)
    store_strip(job, feeder.own, first_row, column, stage.strips[column / kStrip], stage.residuals, stride);
}

template <typename Coder>
__device__ inline void round_strips(const FeedbackJob& job, Stage& stage, std::int64_t first_row) {
  const int row = static_cast<int>(threadIdx.x) - kFeeders, cols = static_cast<int>(job.source.cols);
  const int stride = residual_stride(cols);
  const bool has_row = first_row + row < job.source.rows;
  const Scales scales = scales_of(job, first_row + (has_row ? row : 0));
  const Coder coder(job, scales);
  double metric = 0.0;
  for (int column = (cols - 1) / kStrip * kStrip; column >= 0; column -= kStrip) {
    wait_for_block();  // the strip behind is rounded
    wait_for_block();  // this one can be
    Strip& strip = stage.strips[column / kStrip % 2];
    const RowPlace at{strip.factor, strip.pivots, stage.sums + row * kStripStride,
                      strip.source + row * kStripStride, stage.residuals + row * stride + column};
    if (has_row) metric += round_strip(coder, at, column);
    __syncwarp();
  }
  wait_for_block();
  if (has_row && job.pivots != nullptr) job.metric[(first_row + row) * job.metric_stride] += metric;
}

template <typename Coder>
__global__ void __launch_bounds__(kRoundThreads, 2)
    round_block_kernel(const __grid_constant__ FeedbackJob job) {
  extern __shared__ float4 memory[];
  Stage& stage = *reinterpret_cast<Stage*>(memory);
  const std::int64_t first_row = std::int64_t{blockIdx.x} * kRows;
  if (threadIdx.x < kFeeders)
    feed_strips<Coder::kWholeStrips>(job, stage, first_row);
  else
    round_strips<Coder>(job, stage, first_row);
}

// A row of a block's threads: every column alone.
__global__ void __launch_bounds__(kThreads) round_alone_kernel(const __grid_constant__ FeedbackJob job) {
  const auto column_of = [](const View& view, std::int64_t row) {
    return static_cast<float*>(view.data) + row * view.stride;
  };
  for (std::int64_t row = blockIdx.x; row < job.source.rows; row += gridDim.x) {
    const Scales scales = scales_of(job, row);
    const Scale one = scales.one_column ? scales.at(0) : Scale{};
    const float* source = column_of(job.source, row);
    const float* fed = job.fed.data != nullptr ? column_of(job.fed, row) : nullptr;
    float* residual = column_of(job.residual, row);
    double metric = 0.0;
#pragma unroll 4
    for (int col = static_cast<int>(threadIdx.x); col < job.source.cols; col += kThreads) {
      const Scale scale = scales.one_column ? one : scales.at(col);
      const float f = fed != nullptr ? __fadd_rn(source[col], fed[col]) : source[col];
      const float code = code_of(job.code, f, scale), stored = __fmul_rn(code, scale.value);
      const float left = __fsub_rn(f, stored);
      store_code(job.code, code, job.codes.data, row * job.codes.stride + col);
      residual[col] = __fsub_rn(source[col], stored);
      if (job.pivots != nullptr) metric += double{job.pivots[col]} * left * left;
    }
    if (job.pivots == nullptr) continue;
    metric = block_sum(metric);
    if (threadIdx.x == 0) job.metric[row * job.metric_stride] += metric;
  }
}

// A warp for each row.
__global__ void __launch_bounds__(kThreads)
    row_metric_kernel(const View x, const float* __restrict__ pivots, double* metric,
                      const std::int64_t metric_stride) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  for (std::int64_t row = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) / 32; row < x.rows;
       row += std::int64_t{gridDim.x} * (kThreads / 32)) {
    const float* values = static_cast<const float*>(x.data) + row * x.stride;
    double sum = 0.0;
#pragma unroll 8
    for (int col = lane; col < x.cols; col += 32) sum += double{pivots[col]} * values[col] * values[col];
    sum = warp_sum(sum);
    if (lane == 0) metric[row * metric_stride] += sum;
  }
}

__global__ void add_feedback_kernel(const View fed, const View residual, const View factor,
                                    const View target) {
  const std::int64_t col = threadIdx.x;
  if (col >= target.cols) return;
  for (std::int64_t row = blockIdx.x; row < target.rows; row += gridDim.x) {
    const float* residuals = static_cast<const float*>(residual.data) + row * residual.stride;
    const float* start = static_cast<const float*>(fed.data);
    float sum = start != nullptr ? start[row * fed.stride + col] : 0.0f;
    for (std::int64_t i = factor.rows - 1; i >= 0; --i) {
      const float entry = static_cast<const float*>(factor.data)[i * factor.stride + col];
      sum = __fadd_rn(sum, __fmul_rn(residuals[i], entry));
    }
    static_cast<float*>(target.data)[row * target.stride + col] = sum;
  }
}

template <typename Coder>
void launch_block(const Launch& launch, const FeedbackJob& job) {
  const auto kernel = round_block_kernel<Coder>;
  const std::size_t shared = stage_bytes(static_cast<int>(job.source.cols));
  launch.residency.blocks(reinterpret_cast<const void*>(kernel), kRoundThreads,
                          shared);  // lifts the kernel's limit
  kernel<<<static_cast<unsigned>((job.source.rows + kRows - 1) / kRows), kRoundThreads, shared,
           launch.stream>>>(job);
  check_launch("round_feedback");
}

}  // namespace

int feedback_columns(const Launch& launch) {
  int cols = kFeedbackColumns;
  while (cols > kStrip && stage_bytes(cols) > launch.residency.shared_limit()) cols /= 2;
  return cols;
}

void round_block(const Launch& launch, const FeedbackJob& job) {
  if (job.source.rows == 0) return;
  if (job.factor.data == nullptr) {
    round_alone_kernel<<<grid_for(launch, round_alone_kernel, job.source.rows, kThreads), kThreads, 0,
                         launch.stream>>>(job);
    check_launch("round_feedback");
    return;
  }
  const bool by_rows =
      job.one_column && job.source.cols % kStrip == 0 && job.code.code == OCTAVO_CODE_INTEGER;
  (by_rows ? launch_block<RowCode> : launch_block<AnyCode>)(launch, job);
}

void add_feedback(const Launch& launch, const View& fed, const View& residual, const View& factor,
                  const View& target) {
  const unsigned blocks = grid_for(launch, add_feedback_kernel, target.rows, kFeedbackColumns);
  add_feedback_kernel<<<blocks, kFeedbackColumns, 0, launch.stream>>>(fed, residual, factor, target);
  check_launch("round_feedback");
}

void add_row_metric(const Launch& launch, const View& x, const float* pivots, double* metric,
                    std::int64_t metric_stride) {
  if (x.rows == 0) return;
  const std::int64_t groups = (x.rows + kThreads / 32 - 1) / (kThreads / 32);
  row_metric_kernel<<<grid_for(launch, row_metric_kernel, groups, kThreads), kThreads, 0, launch.stream>>>(
      x, pivots, metric, metric_stride);
  check_launch("row_metric");
}

}  // namespace octavo::cuda
