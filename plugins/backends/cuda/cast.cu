// The same element by element as the reference. The usual pairs of dtypes are compiled, the others are looked
// up for each value.
#include "cast.hpp"
#include "chunks.cuh"
#include "convert.cuh"
#include "reduce.cuh"
#include "status.hpp"

#include <octavo/abi/grid.h>

namespace octavo::cuda {
namespace {

constexpr std::uint32_t kAnyDtype = OCTAVO_DTYPE_COUNT;

struct Cast {
  View source;
  View target;
  Chunks chunks;
  std::uint32_t flags;
  bool errors;
  double* row_errors;
  Record* records;
};

struct Counts {
  unsigned overflow = 0;
  unsigned underflow = 0;
};

// What an F64 element says of itself that its f32 does not.
struct Original {
  bool finite;
  bool zero;
};

__device__ inline Original original_of(std::uint32_t dtype, const void* data, std::int64_t at, float value) {
  if (dtype != OCTAVO_F64) return {is_finite(value), value == 0.0f};
  const double wide = static_cast<const double*>(data)[at];
  return {isfinite(wide), wide == 0.0};
}

__device__ inline void add_error(float source, float stored, double& error, Gathered& gathered) {
  if (!is_finite(source) || !is_finite(stored)) return;
  const double off = static_cast<double>(stored) - static_cast<double>(source);
  error += off * off;
  gathered.signal += static_cast<double>(source) * static_cast<double>(source);
  gathered.max_error = fmaxf(gathered.max_error, static_cast<float>(fabs(off)));
}

template <std::uint32_t kFrom, std::uint32_t kTo>
__device__ inline void cast_element(const Cast& args, std::int64_t row, std::int64_t col, Counts& counts,
                                    double& error, Gathered& gathered, Tally& tally) {
  const std::uint32_t from = kFrom == kAnyDtype ? args.source.dtype : kFrom;
  const std::uint32_t to = kTo == kAnyDtype ? args.target.dtype : kTo;
  const std::int64_t at = row * args.source.stride + col;
  const std::int64_t target = row * args.target.stride + col;
  float value = load(args.source.data, from, at);
  const float as_f32 = value;
  const Original original = original_of(from, args.source.data, at, value);
  const bool zero = !original.finite && (args.flags & OCTAVO_TILE_ZERO_NONFINITE) != 0;
  if (args.errors && !original.finite) note_nonfinite(tally, row * args.source.cols + col);
  if (from == OCTAVO_F64 && to == OCTAVO_F64) {
    static_cast<double*>(args.target.data)[target] =
        zero ? 0.0 : static_cast<const double*>(args.source.data)[at];
    if (args.errors && original.finite) add_error(as_f32, as_f32, error, gathered);
    return;
  }
  if (zero) value = 0.0f;
  float stored = rounded_to(to, value);
  const bool overflow = original.finite && !is_finite(stored);
  counts.overflow += overflow ? 1 : 0;
  counts.underflow += original.finite && stored == 0.0f && !original.zero ? 1 : 0;
  if (overflow && (args.flags & OCTAVO_TILE_CLAMP_OVERFLOW) != 0)
    value = stored = copysignf(largest_finite(to), value);
  store(value, to, args.target.data, target);
  if (args.errors) add_error(as_f32, stored, error, gathered);
}

template <std::uint32_t kFrom, std::uint32_t kTo>
__global__ void __launch_bounds__(kChunkThreads) cast_kernel(const Cast args) {
  __shared__ Tally tally;
  open_tally(tally);
  Gathered gathered;
  Counts counts;
  for (std::int64_t chunk = blockIdx.x; chunk < args.chunks.count(); chunk += gridDim.x) {
    const ChunkPlace place = place_of(args.chunks, chunk);
    double error = 0.0;
    for (std::int64_t col = place.begin + threadIdx.x; col < place.end; col += kChunkThreads)
      cast_element<kFrom, kTo>(args, place.row, col, counts, error, gathered, tally);
    gathered.error += error;
    if (args.row_errors == nullptr) continue;
    const double whole = block_sum(error);  // a chunk is a whole row then
    if (threadIdx.x == 0) args.row_errors[place.row] = whole;
  }
  note_count(tally.overflow, counts.overflow);
  note_count(tally.underflow, counts.underflow);
  settle(tally, args.records, gathered);
}

// 16-bit floats as f32, 8 at a time: nothing can overflow or vanish.
constexpr int kTogether = 8;

template <std::uint32_t kFrom>
__device__ inline float widened(unsigned bits, bool zero) {
  const auto half = static_cast<std::uint16_t>(bits);
  const float value = kFrom == OCTAVO_F16 ? value_of_f16(half) : value_of_bf16(half);
  return zero && !is_finite(value) ? 0.0f : value;
}

template <std::uint32_t kFrom>
__device__ inline float4 widened(unsigned low, unsigned high, bool zero) {
  return make_float4(widened<kFrom>(low, zero), widened<kFrom>(low >> 16, zero), widened<kFrom>(high, zero),
                     widened<kFrom>(high >> 16, zero));
}

template <std::uint32_t kFrom>
__global__ void __launch_bounds__(kChunkThreads) widen_kernel(const Cast args) {
  __shared__ Tally tally;
  open_tally(tally);
  const bool zero = (args.flags & OCTAVO_TILE_ZERO_NONFINITE) != 0;
  const auto per_row = static_cast<std::uint32_t>(args.source.cols / kTogether);
  const std::uint32_t count = static_cast<std::uint32_t>(args.source.rows) * per_row;
  const std::uint32_t step = gridDim.x * kChunkThreads;
#pragma unroll 4
  for (std::uint32_t i = blockIdx.x * kChunkThreads + threadIdx.x; i < count; i += step) {
    const std::int64_t row = i / per_row, col = std::int64_t{i % per_row} * kTogether;
    const uint4 words = __ldcs(reinterpret_cast<const uint4*>(
        static_cast<const std::uint16_t*>(args.source.data) + row * args.source.stride + col));
    auto* to =
        reinterpret_cast<float4*>(static_cast<float*>(args.target.data) + row * args.target.stride + col);
    to[0] = widened<kFrom>(words.x, words.y, zero);
    to[1] = widened<kFrom>(words.z, words.w, zero);
  }
  settle(tally, args.records, {});
}

template <std::uint32_t kFrom>
void launch_widen(const Launch& launch, Cast args) {
  const std::int64_t count = args.source.rows * args.source.cols / kTogether;
  const unsigned blocks =
      grid_for(launch, widen_kernel<kFrom>, (count + kChunkThreads - 1) / kChunkThreads, kChunkThreads);
  args.records = launch.records(blocks);
  widen_kernel<kFrom><<<blocks, kChunkThreads, 0, launch.stream>>>(args);
  check_launch("cast");
}

// Whether the kernel that widens can do the job.
bool is_widened(const CastJob& job) {
  const View &source = job.source, &target = job.target;
  const auto is_aligned = [](const View& view) {
    return reinterpret_cast<std::uintptr_t>(view.data) % 16 == 0 && view.stride % kTogether == 0 &&
           view.cols % kTogether == 0;
  };
  constexpr std::int64_t kMost = std::int64_t{1} << 31;
  return (source.dtype == OCTAVO_F16 || source.dtype == OCTAVO_BF16) && target.dtype == OCTAVO_F32 &&
         !job.errors && is_aligned(source) && is_aligned(target) && source.rows * source.cols < kMost;
}

template <std::uint32_t kFrom, std::uint32_t kTo>
void launch_cast(const Launch& launch, Cast args) {
  const unsigned blocks = grid_for(launch, cast_kernel<kFrom, kTo>, args.chunks.count(), kChunkThreads);
  args.records = launch.records(blocks);
  cast_kernel<kFrom, kTo><<<blocks, kChunkThreads, 0, launch.stream>>>(args);
  check_launch("cast");
}

template <std::uint32_t kFrom>
void launch_from(const Launch& launch, const Cast& args) {
  switch (args.target.dtype) {
    case OCTAVO_F16:
      return launch_cast<kFrom, OCTAVO_F16>(launch, args);
    case OCTAVO_BF16:
      return launch_cast<kFrom, OCTAVO_BF16>(launch, args);
    default:
      return launch_cast<kFrom, kAnyDtype>(launch, args);
  }
}

__global__ void __launch_bounds__(kChunkThreads)
    error_sums_kernel(const View a, const View b, const Chunks chunks, Record* records) {
  __shared__ Tally tally;
  open_tally(tally);
  Gathered gathered;
  for (std::int64_t chunk = blockIdx.x; chunk < chunks.count(); chunk += gridDim.x) {
    const ChunkPlace place = place_of(chunks, chunk);
    for (std::int64_t col = place.begin + threadIdx.x; col < place.end; col += kChunkThreads) {
      const double left = load(a.data, a.dtype, place.row * a.stride + col);
      const double right = load(b.data, b.dtype, place.row * b.stride + col);
      const double off = left - right;
      gathered.error += off * off;
      gathered.signal += left * left;
      gathered.max_error = fmaxf(gathered.max_error, static_cast<float>(fabs(off)));
    }
  }
  settle(tally, records, gathered);
}

}  // namespace

void cast_values(const Launch& launch, const CastJob& job) {
  if (is_widened(job)) {
    const Cast args{job.source, job.target, {}, job.flags, false, nullptr, nullptr};
    return job.source.dtype == OCTAVO_F16 ? launch_widen<OCTAVO_F16>(launch, args)
                                          : launch_widen<OCTAVO_BF16>(launch, args);
  }
  const bool whole = is_packed(job.source) && is_packed(job.target) && job.row_errors == nullptr;
  const View source = whole ? flattened(job.source) : job.source;
  const View target = whole ? flattened(job.target) : job.target;
  const std::int64_t width = job.row_errors != nullptr && source.cols > 0 ? source.cols : kChunkColumns;
  const Cast args{source,         target, {source.rows, source.cols, width}, job.flags, job.errors,
                  job.row_errors, nullptr};
  switch (source.dtype) {
    case OCTAVO_F32:
      return launch_from<OCTAVO_F32>(launch, args);
    case OCTAVO_BF16:
      return launch_from<OCTAVO_BF16>(launch, args);
    default:
      return launch_cast<kAnyDtype, kAnyDtype>(launch, args);
  }
}

void sum_errors(const Launch& launch, const View& a, const View& b) {
  const bool whole = is_packed(a) && is_packed(b);
  const View left = whole ? flattened(a) : a;
  const View right = whole ? flattened(b) : b;
  const Chunks chunks{left.rows, left.cols, kChunkColumns};
  const unsigned blocks = grid_for(launch, error_sums_kernel, chunks.count(), kChunkThreads);
  error_sums_kernel<<<blocks, kChunkThreads, 0, launch.stream>>>(left, right, chunks, launch.records(blocks));
  check_launch("error_sums");
}

}  // namespace octavo::cuda
