// Any group of a power of 4 and any dtype: chunks of rows go through shared memory, a stage after another.
// The fast form for INT8 tiles is in nearest_rows.cu.
#include "basis.hpp"
#include "chunks.cuh"
#include "convert.cuh"
#include "reduce.cuh"
#include "rotate.cuh"
#include "status.hpp"

#include <algorithm>

namespace octavo::cuda {
namespace {

constexpr float kRotatedLimit = 0x1p118f;

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
  constexpr unsigned kRotatedLimitBits = (118u + 127u) << 23;
  static_assert(kRotatedLimit == 0x1p118f);
  return group != 0 ? kRotatedLimitBits : kInfinityBits;
}

}  // namespace

void change_basis(const Launch& launch, const BasisJob& job) {
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
