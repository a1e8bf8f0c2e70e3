// Any group of a power of 4 and any dtype: chunks of rows go through shared memory, a stage after another.
// The usual groups and dtypes, 256 columns by 16 threads: each has a run of 16 consecutive ones in registers
// for strides 1 and 4, and after one exchange through shared memory a column of all 16 runs for strides 16
// and 64. The fused form for INT8 tiles is in nearest_rows.cu.
#include "basis.hpp"
#include "chunks.cuh"
#include "convert.cuh"
#include "nearest.cuh"
#include "reduce.cuh"
#include "rotate.cuh"
#include "status.hpp"

#include <octavo/tensor.hpp>

#include <algorithm>
#include <bit>

namespace octavo::cuda {
namespace {

// 1 / sqrt(group), group a power of 4.
float factor_of(std::int64_t group) {
  float factor = 1.0f;
  for (; group > 1; group /= 4) factor *= 0.5f;
  return factor;
}

struct Source {
  View view;
  bool check;
  unsigned limit;  // bits of the smallest magnitude that `check` refuses
};

// Element [row, col] as f32; 0 outside of the view.
__device__ inline float read(const Source& source, std::int64_t row, std::int64_t col, Tally& tally) {
  if (row >= source.view.rows || col >= source.view.cols) return 0.0f;
  const float value = load(source.view.data, source.view.dtype, row * source.view.stride + col);
  if (!source.check || magnitude_bits(value) < source.limit) return value;
  note_nonfinite(tally, row * source.view.cols + col);
  return 0.0f;
}

struct Change {
  Source source;
  View target;
  Chunks chunks;
  int group;
  float factor;
  std::uint32_t rounding;
  Record* records;
};

__global__ void __launch_bounds__(kChunkThreads) change_basis_kernel(const Change args) {
  extern __shared__ float values[];
  __shared__ Tally tally;
  open_tally(tally);
  for (std::int64_t chunk = blockIdx.x; chunk < args.chunks.count(); chunk += gridDim.x) {
    const ChunkPlace place = place_of(args.chunks, chunk);
    const int width = static_cast<int>(place.end - place.begin);
    for (int i = static_cast<int>(threadIdx.x); i < width; i += kChunkThreads)
      values[i] = read(args.source, place.row, place.begin + i, tally);
    __syncthreads();
    if (args.group != 0) rotate_shared(values, width, args.group);
    float* target = static_cast<float*>(args.target.data) + place.row * args.target.stride + place.begin;
    for (int i = static_cast<int>(threadIdx.x); i < width && place.begin + i < args.target.cols;
         i += kChunkThreads)
      target[i] = rounded_to(args.rounding, __fmul_rn(values[i], args.factor));
    __syncthreads();
  }
  settle(tally, args.records, {});
}

constexpr int kRun = 16;                      // columns; and threads of a span
constexpr int kSpan = kRun * kRun;            // columns that 16 threads rotate
constexpr int kSpans = kChunkThreads / kRun;  // of a block
// Of runs and spans in shared memory, in floats: 16-byte writes of runs and reads across runs are free of
// bank conflicts.
constexpr int kRunStride = kRun + 4;
constexpr int kSpanStride = kRun * kRunStride + 16;

struct Spans {
  View source;
  View target;
  int per_row;
  std::uint32_t count;
  int group;
  float factor;
};

// The thread's run, zeros behind the row's end.
template <typename Source>
__device__ inline void read_run(const View& source, std::int64_t row, std::int64_t col, float (&x)[kRun]) {
  const bool is_there = col < source.cols;
  const std::byte* at =
      static_cast<const std::byte*>(source.data) + (row * source.stride + col) * Source::kBytes;
#pragma unroll
  for (int half = 0; half < 2; ++half)
    unpack(load_chunk<Source, false>(at + 8 * half * Source::kBytes, is_there), x + 8 * half);
}

// Strides of a run, and then those across runs of a span.
template <int kStride>
__device__ inline void butterflies(float (&x)[kRun]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int first = kStride == 1 ? 4 * i : i;
    butterfly(x[first], x[first + kStride], x[first + 2 * kStride], x[first + 3 * kStride]);
  }
}

template <typename Source>
__global__ void __launch_bounds__(kChunkThreads) rotate_spans_kernel(const __grid_constant__ Spans args) {
  __shared__ float4 memory[kSpans * kSpanStride / 4];
  const int own = static_cast<int>(threadIdx.x % kRun);
  float* const span = reinterpret_cast<float*>(memory) + threadIdx.x / kRun * kSpanStride;
  // All threads of a warp go round as often.
  for (std::uint32_t first = blockIdx.x * kSpans; first < args.count; first += gridDim.x * kSpans) {
    const std::uint32_t index = first + threadIdx.x / kRun;
    const std::int64_t row = index / static_cast<std::uint32_t>(args.per_row);
    const std::int64_t begin = index % static_cast<std::uint32_t>(args.per_row) * kSpan;
    const bool is_there = index < args.count;
    float x[kRun];
    read_run<Source>(args.source, row, is_there ? begin + kRun * own : args.source.cols, x);
    butterflies<1>(x);
    butterflies<4>(x);
    __syncwarp();
#pragma unroll
    for (int i = 0; i < kRun; i += 4)
      *reinterpret_cast<float4*>(span + own * kRunStride + i) =
          make_float4(x[i], x[i + 1], x[i + 2], x[i + 3]);
    __syncwarp();
#pragma unroll
    for (int run = 0; run < kRun; ++run) x[run] = span[run * kRunStride + own];
    if (args.group >= 64) butterflies<1>(x);
    if (args.group >= 256) butterflies<4>(x);
    float* const target = static_cast<float*>(args.target.data) + row * args.target.stride;
#pragma unroll
    for (int run = 0; run < kRun; ++run) {
      const std::int64_t col = begin + kRun * run + own;
      if (is_there && col < args.target.cols) target[col] = __fmul_rn(x[run], args.factor);
    }
  }
}

// The same without a rotation: nothing has to meet in shared memory.
__global__ void __launch_bounds__(kChunkThreads) convert_kernel(const Change args) {
  __shared__ Tally tally;
  open_tally(tally);
  for (std::int64_t chunk = blockIdx.x; chunk < args.chunks.count(); chunk += gridDim.x) {
    const ChunkPlace place = place_of(args.chunks, chunk);
    float* target = static_cast<float*>(args.target.data) + place.row * args.target.stride;
    const std::int64_t end = place.end < args.target.cols ? place.end : args.target.cols;
    for (std::int64_t col = place.begin + threadIdx.x; col < end; col += kChunkThreads)
      target[col] = rounded_to(args.rounding, read(args.source, place.row, col, tally));
  }
  settle(tally, args.records, {});
}

struct Absmax {
  Source source;
  Chunks chunks;
  int group;
  float factor;
  bool check_overflow;
  std::uint32_t overflow;
  Record* records;
};

__device__ inline unsigned chunk_absmax(const Absmax& args, const ChunkPlace& place, float* values,
                                        unsigned& overflows, Tally& tally) {
  const int width = static_cast<int>(place.end - place.begin);
  unsigned largest = 0;
  for (int i = static_cast<int>(threadIdx.x); i < width; i += kChunkThreads) {
    const float value = read(args.source, place.row, place.begin + i, tally);
    if (args.check_overflow && !is_finite(rounded_to(args.overflow, value))) ++overflows;
    if (args.group != 0)
      values[i] = value;
    else
      largest = max(largest, magnitude_bits(value));
  }
  if (args.group == 0) return largest;
  __syncthreads();
  rotate_shared(values, width, args.group);
  for (int i = static_cast<int>(threadIdx.x); i < width; i += kChunkThreads)
    largest = max(largest, magnitude_bits(__fmul_rn(values[i], args.factor)));
  __syncthreads();
  return largest;
}

__global__ void __launch_bounds__(kChunkThreads) absmax_kernel(const Absmax args) {
  extern __shared__ float values[];
  __shared__ Tally tally;
  open_tally(tally);
  unsigned largest = 0, overflows = 0;
  for (std::int64_t chunk = blockIdx.x; chunk < args.chunks.count(); chunk += gridDim.x)
    largest = max(largest, chunk_absmax(args, place_of(args.chunks, chunk), values, overflows, tally));
  note_absmax(tally, largest);
  note_count(tally.overflow, overflows);
  settle(tally, args.records, {});
}

std::int64_t chunk_width(std::int64_t group) { return std::max<std::int64_t>(kChunkColumns, group); }

unsigned limit_bits(std::int64_t group) {
  return group != 0 ? std::bit_cast<unsigned>(kRotatedLimit) : kInfinityBits;
}

template <typename Source>
void launch_spans(const Launch& launch, const Spans& args) {
  const unsigned blocks =
      grid_for(launch, rotate_spans_kernel<Source>, (args.count + kSpans - 1) / kSpans, kChunkThreads);
  rotate_spans_kernel<Source><<<blocks, kChunkThreads, 0, launch.stream>>>(args);
  check_launch("to_basis");
}

// False where the job is not one for spans. Runs are read 16 bytes at a time.
bool rotate_spans(const Launch& launch, const BasisJob& job) {
  const View& source = job.source;
  const std::int64_t per_row = (std::max(source.cols, job.target.cols) + kSpan - 1) / kSpan;
  const std::int64_t count = job.target.rows * per_row;
  constexpr std::int64_t kMostCount = std::int64_t{1} << 31;
  const bool is_usual = (job.group == 16 || job.group == 64 || job.group == 256) && !job.check &&
                        job.rounding == OCTAVO_F32 && source.rows == job.target.rows && count < kMostCount;
  if (!is_usual || !has_aligned_rows(source, 16) || source.cols % kRun != 0) return false;
  const Spans args{source,
                   job.target,
                   static_cast<int>(per_row),
                   static_cast<std::uint32_t>(count),
                   static_cast<int>(job.group),
                   factor_of(job.group)};
  switch (source.dtype) {
    case OCTAVO_F32:
      launch_spans<F32>(launch, args);
      return true;
    case OCTAVO_F16:
      launch_spans<F16>(launch, args);
      return true;
    case OCTAVO_BF16:
      launch_spans<Bf16>(launch, args);
      return true;
    default:
      return false;
  }
}

}  // namespace

void change_basis(const Launch& launch, const BasisJob& job) {
  if (rotate_spans(launch, job)) return;
  const bool whole = job.group == 0 && is_packed(job.source) && is_packed(job.target) &&
                     job.target.rows > 0 && job.source.rows == job.target.rows &&
                     job.source.cols == job.target.cols;
  const View source = whole ? flattened(job.source) : job.source;
  const View target = whole ? flattened(job.target) : job.target;
  Change args{{source, job.check, limit_bits(job.group)},
              target,
              {target.rows, std::max(source.cols, target.cols), chunk_width(job.group)},
              static_cast<int>(job.group),
              factor_of(job.group),
              job.rounding,
              nullptr};
  const bool rotated = job.group != 0;
  const auto kernel = rotated ? change_basis_kernel : convert_kernel;
  const std::size_t shared = rotated ? static_cast<std::size_t>(args.chunks.width) * sizeof(float) : 0;
  const unsigned blocks = grid_for(launch, kernel, args.chunks.count(), kChunkThreads, shared);
  if (job.check) args.records = launch.records(blocks);
  kernel<<<blocks, kChunkThreads, shared, launch.stream>>>(args);
  check_launch("to_basis");
}

void find_absmax(const Launch& launch, const AbsmaxJob& job) {
  const bool whole = job.group == 0 && is_packed(job.source) && job.cols == job.source.cols;
  const View source = whole ? flattened(job.source) : job.source;
  Absmax args{{source, true, limit_bits(job.group)},
              {source.rows, whole ? source.cols : job.cols, chunk_width(job.group)},
              static_cast<int>(job.group),
              factor_of(job.group),
              job.overflow >= 0,
              static_cast<std::uint32_t>(job.overflow < 0 ? 0 : job.overflow),
              nullptr};
  const std::size_t shared = job.group != 0 ? static_cast<std::size_t>(args.chunks.width) * sizeof(float) : 0;
  const unsigned blocks = grid_for(launch, absmax_kernel, args.chunks.count(), kChunkThreads, shared);
  args.records = launch.records(blocks);
  absmax_kernel<<<blocks, kChunkThreads, shared, launch.stream>>>(args);
  check_launch("absmax");
}

}  // namespace octavo::cuda
