// One thread rounds one row, column after column; what the columns do to the ones before them is added up in
// strips of 32 that a thread keeps in registers: first what the strips behind it add, then the 32 columns one
// after the other. All threads of the block, those without a row too, bring rows and factor into shared
// memory and the results back, in whole lines. A row lies at a stride of 4 floats more than it has, so
// threads read 16 bytes each of 8 rows without a bank conflict; an entry of the factor is the same for all
// threads.
#include "codes.cuh"
#include "feedback.hpp"
#include "nearest.cuh"
#include "reduce.cuh"
#include "status.hpp"

#include <algorithm>

namespace octavo::cuda {
namespace {

constexpr int kStrip = 32;
constexpr int kMostRows = 96;
constexpr int kThreads = 256;
constexpr int kRowStride = kFeedbackColumns + 4;
constexpr int kQuads = kFeedbackColumns / 4;  // of a row

// Shared memory of a block.
struct Stage {
  float* work;    // [rows, kRowStride]: source and what is fed back, then the residuals
  float* source;  // [rows, kRowStride]: the source, then the codes
  float* pivots;  // [kFeedbackColumns]
  float* factor;  // [kFeedbackColumns, kFeedbackColumns], unused where it stays in global memory
};

struct Block {
  std::int64_t first_row;
  int rows;  // of this block
  int cols;
};

// Every place of a view's rows in the block, by all threads of it. `wide`: 4 columns at a time.
template <typename Move4, typename Move1>
__device__ inline void move_rows(const View& view, const Block& block, bool wide, Move4 four, Move1 one) {
  if (wide) {
#pragma unroll 6
    for (int i = static_cast<int>(threadIdx.x); i < block.rows * kQuads; i += kThreads) {
      const int row = i / kQuads, col = i % kQuads * 4;
      if (col < block.cols) four((block.first_row + row) * view.stride + col, row * kRowStride + col);
    }
    return;
  }
#pragma unroll 8
  for (int i = static_cast<int>(threadIdx.x); i < block.rows * kFeedbackColumns; i += kThreads) {
    const int row = i / kFeedbackColumns, col = i % kFeedbackColumns;
    if (col < block.cols) one((block.first_row + row) * view.stride + col, row * kRowStride + col);
  }
}

__device__ inline bool is_wide(const View& view, int element) {
  return view.cols % 4 == 0 && view.stride % 4 == 0 &&
         reinterpret_cast<std::uintptr_t>(view.data) % static_cast<unsigned>(4 * element) == 0;
}

__device__ inline float4 sum_of(const float4& a, const float4& b) {
  return make_float4(__fadd_rn(a.x, b.x), __fadd_rn(a.y, b.y), __fadd_rn(a.z, b.z), __fadd_rn(a.w, b.w));
}

// Source, and work: the source plus what is fed back. A thread moves the same places of both.
__device__ inline void load_rows(const FeedbackJob& job, const Block& block, const Stage& stage) {
  const float* source = static_cast<const float*>(job.source.data);
  const float* fed = static_cast<const float*>(job.fed.data);
  const bool wide = is_wide(job.source, 4) && (fed == nullptr || is_wide(job.fed, 4));
  move_rows(
      job.source, block, wide,
      [&](std::int64_t from, int to) {
        const float4 four = *reinterpret_cast<const float4*>(source + from);
        *reinterpret_cast<float4*>(stage.source + to) = four;
        if (fed == nullptr) *reinterpret_cast<float4*>(stage.work + to) = four;
      },
      [&](std::int64_t from, int to) {
        stage.source[to] = source[from];
        if (fed == nullptr) stage.work[to] = source[from];
      });
  if (fed == nullptr) return;
  move_rows(
      job.fed, block, wide,
      [&](std::int64_t from, int to) {
        *reinterpret_cast<float4*>(stage.work + to) =
            sum_of(*reinterpret_cast<const float4*>(stage.source + to),
                   *reinterpret_cast<const float4*>(fed + from));
      },
      [&](std::int64_t from, int to) { stage.work[to] = __fadd_rn(stage.source[to], fed[from]); });
}

__device__ inline void store_rows(const View& view, const Block& block, const float* rows) {
  float* data = static_cast<float*>(view.data);
  move_rows(
      view, block, is_wide(view, 4),
      [&](std::int64_t to, int from) {
        *reinterpret_cast<float4*>(data + to) = *reinterpret_cast<const float4*>(rows + from);
      },
      [&](std::int64_t to, int from) { data[to] = rows[from]; });
}

__device__ inline void store_codes(const FeedbackJob& job, const Block& block, const float* rows) {
  const bool bytes = job.code.dtype == OCTAVO_I8 && is_wide(job.codes, 1);
  move_rows(
      job.codes, block, bytes,
      [&](std::int64_t to, int from) {
        const float4 codes = *reinterpret_cast<const float4*>(rows + from);
        *reinterpret_cast<char4*>(static_cast<std::int8_t*>(job.codes.data) + to) =
            make_char4(static_cast<signed char>(codes.x), static_cast<signed char>(codes.y),
                       static_cast<signed char>(codes.z), static_cast<signed char>(codes.w));
      },
      [&](std::int64_t to, int from) { store_code(job.code, rows[from], job.codes.data, to); });
}

// All of the block's factor; what lies above its diagonal is not used.
__device__ inline void load_factor(const View& view, float* factor) {
  const float* data = static_cast<const float*>(view.data);
  const int rows = static_cast<int>(view.rows), cols = static_cast<int>(view.cols);
  if (is_wide(view, 4)) {
#pragma unroll 8
    for (int i = static_cast<int>(threadIdx.x); i < rows * kQuads; i += kThreads) {
      const int row = i / kQuads, col = i % kQuads * 4;
      if (col >= cols) continue;
      *reinterpret_cast<float4*>(factor + row * kFeedbackColumns + col) =
          *reinterpret_cast<const float4*>(data + row * view.stride + col);
    }
    return;
  }
#pragma unroll 8
  for (int i = static_cast<int>(threadIdx.x); i < rows * kFeedbackColumns; i += kThreads) {
    const int row = i / kFeedbackColumns, col = i % kFeedbackColumns;
    if (col < cols) factor[i] = data[row * view.stride + col];
  }
}

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

// f / s, corrected once (nearest.cuh), which is as good as the division but in the last place.
__device__ inline float quotient_by(const Scale& scale, float f) {
  const float limit = 1e6f;  // beyond all codes; keeps the rest finite
  const float t = fminf(fmaxf(__fmul_rn(f, scale.inverse), -limit), limit);
  return __fmaf_rn(__fmaf_rn(-t, scale.value, f), scale.inverse, t);
}

__device__ __noinline__ float other_code(const CodePlan& plan, float f, float scale) {
  return scale > 0.0f ? nearest_code(plan, __fdiv_rn(f, scale)) : 0.0f;
}

__device__ inline float code_of(const CodePlan& plan, float f, const Scale& scale) {
  if (scale.inverse == 0.0f || !is_integer(plan)) return other_code(plan, f, scale.value);
  return fminf(fmaxf(rintf(quotient_by(scale, f)), plan.lowest), plan.highest);
}

// How a row's columns are rounded: any of a block that may end within a strip.
struct AnyCode {
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
  __device__ Scale scale_of(int column) const { return scales.one_column ? scale : scales.at(column); }
  __device__ float code(float f, const Scale& by) const { return code_of(plan, f, by); }
};

// Integers with one usual scale, in a block of whole strips.
struct RowCode {
  float lowest, highest;
  Scale scale;

  __device__ static constexpr bool has(int) { return true; }
  __device__ Scale scale_of(int) const { return scale; }
  __device__ float code(float f, const Scale& by) const {
    const float shifted = __fadd_rn(quotient_by(by, f), kRoundingShift);
    return fminf(fmaxf(__fadd_rn(shifted, -kRoundingShift), lowest), highest);
  }
};

__device__ inline void unpack(const float4& four, float* values) {
  values[0] = four.x, values[1] = four.y, values[2] = four.z, values[3] = four.w;
}

// sums[c] += residual x factor[c] for the first `count` columns of a strip.
__device__ inline void add_row(const float* __restrict__ factor, float residual, float (&sums)[kStrip],
                               int count = kStrip) {
#pragma unroll
  for (int c = 0; c < kStrip; c += 4) {
    if (c >= count) break;
    float four[4];
    unpack(*reinterpret_cast<const float4*>(factor + c), four);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (c + i < count) sums[c + i] = __fmaf_rn(residual, four[i], sums[c + i]);
    }
  }
}

// A row of the block in shared memory.
struct RowPlace {
  const float* __restrict__ factor;  // of the block
  int factor_stride;
  const float* __restrict__ pivots;
  float* __restrict__ work;
  float* __restrict__ source;
};

// Rounds the strip that begins at `column`, from its last column to its first. What loops over columns is
// unrolled, so that every count is a constant and the sums stay in registers.
template <typename Rounder>
__device__ inline void round_strip(const Rounder& rounder, const RowPlace& at, int column,
                                   float (&sums)[kStrip], float& metric) {
#pragma unroll
  for (int quad = kStrip - 4; quad >= 0; quad -= 4) {
    float source[4], pivots[4], codes[4] = {}, residuals[4] = {};
    unpack(*reinterpret_cast<const float4*>(at.source + column + quad), source);
    unpack(*reinterpret_cast<const float4*>(at.pivots + column + quad), pivots);
#pragma unroll
    for (int i = 3; i >= 0; --i) {
      const int c = quad + i;
      if (!rounder.has(column + c)) continue;
      const Scale scale = rounder.scale_of(column + c);
      codes[i] = rounder.code(sums[c], scale);
      const float stored = __fmul_rn(codes[i], scale.value), left = __fsub_rn(sums[c], stored);
      residuals[i] = __fsub_rn(source[i], stored);
      metric = __fmaf_rn(__fmul_rn(pivots[i], left), left, metric);
      add_row(at.factor + (column + c) * at.factor_stride + column, residuals[i], sums, c);
    }
    *reinterpret_cast<float4*>(at.source + column + quad) =
        make_float4(codes[0], codes[1], codes[2], codes[3]);
    *reinterpret_cast<float4*>(at.work + column + quad) =
        make_float4(residuals[0], residuals[1], residuals[2], residuals[3]);
  }
}

// One row of the block, from its last column to its first. Returns the metric of what it leaves.
template <typename Rounder>
__device__ inline float round_row(const Rounder& rounder, int cols, const RowPlace& at) {
  float metric = 0.0f;
  for (int column = (cols - 1) / kStrip * kStrip; column >= 0; column -= kStrip) {
    float sums[kStrip];
#pragma unroll
    for (int c = 0; c < kStrip; c += 4)
      unpack(*reinterpret_cast<const float4*>(at.work + column + c), sums + c);
    for (int done = (cols - 1) / 4 * 4; done >= column + kStrip; done -= 4) {
      float residuals[4];
      unpack(*reinterpret_cast<const float4*>(at.work + done), residuals);
#pragma unroll
      for (int i = 3; i >= 0; --i) {
        if (rounder.has(done + i))
          add_row(at.factor + (done + i) * at.factor_stride + column, residuals[i], sums);
      }
    }
    round_strip(rounder, at, column, sums, metric);
  }
  return metric;
}

__device__ __noinline__ float round_any_row(const FeedbackJob& job, const Scales& scales, int cols,
                                            const RowPlace& at) {
  return round_row(AnyCode(job, scales), cols, at);
}

// kByRows: as RowCode has it, but for rows whose scale is not usual.
template <bool kFactorInShared, bool kByRows>
__global__ void __launch_bounds__(kThreads)
    round_block_kernel(const __grid_constant__ FeedbackJob job, const int rows_each) {
  extern __shared__ float4 memory[];
  float* const start = reinterpret_cast<float*>(memory);
  float* const behind = start + 2 * rows_each * kRowStride;
  const Stage stage{start, start + rows_each * kRowStride, behind, behind + kFeedbackColumns};
  const std::int64_t first_row = std::int64_t{blockIdx.x} * rows_each;
  const Block block{first_row, static_cast<int>(min(std::int64_t{rows_each}, job.source.rows - first_row)),
                    static_cast<int>(job.source.cols)};
  load_rows(job, block, stage);
  for (int i = static_cast<int>(threadIdx.x); i < kFeedbackColumns; i += kThreads)
    stage.pivots[i] = job.pivots != nullptr && i < block.cols ? job.pivots[i] : 0.0f;
  if (kFactorInShared) load_factor(job.factor, stage.factor);
  __syncthreads();
  const int row = static_cast<int>(threadIdx.x);
  if (row < block.rows) {
    const Scales scales = scales_of(job, first_row + row);
    const RowPlace at{kFactorInShared ? stage.factor : static_cast<const float*>(job.factor.data),
                      kFactorInShared ? kFeedbackColumns : static_cast<int>(job.factor.stride), stage.pivots,
                      stage.work + row * kRowStride, stage.source + row * kRowStride};
    const Scale scale = kByRows ? scales.at(0) : Scale{};
    const float metric = scale.inverse != 0.0f
                             ? round_row(RowCode{job.code.lowest, job.code.highest, scale}, block.cols, at)
                             : round_any_row(job, scales, block.cols, at);
    if (job.pivots != nullptr) job.metric[(first_row + row) * job.metric_stride] += double{metric};
  }
  __syncthreads();
  store_rows(job.residual, block, stage.work);
  store_codes(job, block, stage.source);
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

}  // namespace

namespace {

template <bool kFactorInShared, bool kByRows>
void launch_block(const Launch& launch, const FeedbackJob& job, int rows, std::size_t shared) {
  const auto kernel = round_block_kernel<kFactorInShared, kByRows>;
  launch.residency.blocks(reinterpret_cast<const void*>(kernel), kThreads,
                          shared);  // lifts the kernel's limit
  const auto blocks = static_cast<unsigned>((job.source.rows + rows - 1) / rows);
  kernel<<<blocks, kThreads, shared, launch.stream>>>(job, rows);
  check_launch("round_feedback");
}

}  // namespace

void round_block(const Launch& launch, const FeedbackJob& job) {
  if (job.source.rows == 0) return;
  if (job.factor.data == nullptr) {
    round_alone_kernel<<<grid_for(launch, round_alone_kernel, job.source.rows, kThreads), kThreads, 0,
                         launch.stream>>>(job);
    check_launch("round_feedback");
    return;
  }
  constexpr std::size_t kFactorBytes = sizeof(float) * kFeedbackColumns * kFeedbackColumns;
  const auto rows_bytes = [](std::int64_t rows) {
    return static_cast<std::size_t>(2 * rows * kRowStride + kFeedbackColumns) * sizeof(float);
  };
  // As many rows in a block as give every multiprocessor one, in whole warps, as far as there is memory.
  const std::int64_t share =
      (job.source.rows + launch.residency.multiprocessors() - 1) / launch.residency.multiprocessors();
  std::int64_t rows = std::clamp<std::int64_t>((share + 31) / 32 * 32, 32, kMostRows);
  const std::size_t limit = launch.residency.shared_limit();
  const bool fits = rows_bytes(32) + kFactorBytes <= limit;
  const std::size_t factor = fits ? kFactorBytes : 0;
  while (rows > 32 && rows_bytes(rows) + factor > limit) rows -= 32;
  const std::size_t shared = rows_bytes(rows) + factor;
  const bool by_rows =
      fits && job.one_column && job.source.cols % kStrip == 0 && job.code.code == OCTAVO_CODE_INTEGER;
  const auto launch_it = by_rows ? launch_block<true, true>
                         : fits  ? launch_block<true, false>
                                 : launch_block<false, false>;
  launch_it(launch, job, static_cast<int>(rows), shared);
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
