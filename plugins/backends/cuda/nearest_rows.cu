// Nearest with a scale for each row: one read of the source, one write of the codes.
//
// A block takes a row at a time; while it works on one, the values of its next row are on their way into
// registers. Each warp holds panels of 1024 columns, 32 values a thread. Plain: thread l holds columns
// 8l..8l+7 of each 256. ConvRot: thread l holds two runs of 16 consecutive columns, so strides 1 and 4 stay
// within a thread; one exchange through shared memory gives it two columns of all 16 runs of a group, for
// strides 16 and 64. Then the largest magnitude of the row, the scale, the codes. In the second layout a
// thread's word has two codes of each of two runs; its neighbour has the next two, so one shuffle makes words
// of consecutive codes.
//
// Values that are not usable (NaN, infinity, from 2^118 on in a rotated basis) show in the row's largest
// magnitude. Only then is the row read again and every value looked at.
#include "nearest.cuh"
#include "nearest.hpp"
#include "reduce.cuh"
#include "rotate.cuh"
#include "status.hpp"

#include <algorithm>

namespace octavo::cuda {
namespace {

constexpr int kPanel = 1024;
constexpr int kMostWarps = 16;
// Shared memory for the exchange of a panel, in floats: 4 groups of 16 runs; the padding keeps 16-byte writes
// of runs and 8-byte reads across runs free of bank conflicts.
constexpr int kRunStride = 20;
constexpr int kGroupStride = 16 * kRunStride + 16;
constexpr int kExchange = 4 * kGroupStride;

constexpr float kRotatedLimit = 0x1p118f;

struct Rows {
  const std::byte* source;
  std::int64_t source_stride;  // bytes
  std::int8_t* codes;
  std::int64_t codes_stride;
  float* scales;
  std::int64_t scales_stride;
  std::int64_t rows;
  int cols;
  int group;
  float factor;  // 1 / sqrt(group)
  float qmax;
  float floor;
  float scale;
  bool wide_stores;
  double* row_errors;
  Ledger* ledger;
  Record* record;
};

// First column of the 8 that thread `lane` holds as chunk `chunk` of a panel.
template <bool kRotated>
__device__ inline int chunk_column(int chunk, int lane) {
  return kRotated ? ((chunk / 2) * 32 + lane) * 16 + (chunk % 2) * 8 : (chunk * 32 + lane) * 8;
}

template <typename Source, bool kRotated>
__device__ inline void load_panel(const Rows& args, std::int64_t row, int panel_column,
                                  Chunk<Source> (&chunks)[4]) {
  const std::byte* start = args.source + row * args.source_stride;
  const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int c = 0; c < 4; ++c)
    chunks[c] = load_chunk<Source>(start, panel_column + chunk_column<kRotated>(c, lane), args.cols);
}

// Makes values that are not usable 0 and counts them.
template <bool kRotated>
__device__ inline void repair_panel(const Rows& args, std::int64_t row, int panel_column, float (&x)[32]) {
  const unsigned limit = kRotated ? __float_as_uint(kRotatedLimit) : kInfinityBits;
  const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int i = 0; i < 32; ++i) {
    if (magnitude_bits(x[i]) < limit) continue;
    const int column = panel_column + chunk_column<kRotated>(i / 8, lane) + i % 8;
    note_nonfinite(args.ledger, row * args.cols + column);
    x[i] = 0.0f;
  }
}

__device__ inline void exchange(float (&x)[32], float* shared) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  __syncwarp();
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int run = h * 32 + lane;
    float4* at = reinterpret_cast<float4*>(shared + run / 16 * kGroupStride + run % 16 * kRunStride);
#pragma unroll
    for (int i = 0; i < 4; ++i)
      at[i] =
          make_float4(x[16 * h + 4 * i], x[16 * h + 4 * i + 1], x[16 * h + 4 * i + 2], x[16 * h + 4 * i + 3]);
  }
  __syncwarp();
  const float* from = shared + lane / 8 * kGroupStride + lane % 8 * 2;
#pragma unroll
  for (int j = 0; j < 16; ++j) {
    const float2 pair = *reinterpret_cast<const float2*>(from + j * kRunStride);
    x[2 * j] = pair.x;
    x[2 * j + 1] = pair.y;
  }
}

// Afterwards x[2 j + p] is column 256 (lane / 8) + 16 j + 2 (lane % 8) + p of the panel, not yet multiplied
// with the factor.
__device__ inline void rotate_panel(float (&x)[32], int group, float* shared) {
#pragma unroll
  for (int i = 0; i < 32; i += 4) butterfly(x[i], x[i + 1], x[i + 2], x[i + 3]);
#pragma unroll
  for (int h = 0; h < 2; ++h) {
#pragma unroll
    for (int i = 16 * h; i < 16 * h + 4; ++i) butterfly(x[i], x[i + 4], x[i + 8], x[i + 12]);
  }
  exchange(x, shared);
  if (group >= 64) {
#pragma unroll
    for (int i = 0; i < 32; i += 8) {
      butterfly(x[i], x[i + 2], x[i + 4], x[i + 6]);
      butterfly(x[i + 1], x[i + 3], x[i + 5], x[i + 7]);
    }
  }
  if (group >= 256) {
#pragma unroll
    for (int i = 0; i < 8; ++i) butterfly(x[i], x[i + 8], x[i + 16], x[i + 24]);
  }
}

// Bits of the row's largest magnitude, in every thread. `turn` alternates from call to call, so a warp that
// is ahead does not write where another one still reads.
__device__ inline unsigned row_max(unsigned bits, int turn) {
  __shared__ unsigned warps[2][kMostWarps];
  bits = warp_max(bits);
  if (blockDim.x == 32) return bits;
  const unsigned lane = threadIdx.x % 32;
  if (lane == 0) warps[turn][threadIdx.x / 32] = bits;
  __syncthreads();
  return warp_max(lane < blockDim.x / 32 ? warps[turn][lane] : 0u);
}

__device__ inline void store_plain(const Rows& args, std::int8_t* row, int panel_column,
                                   const unsigned (&words)[8]) {
  const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int c = 0; c < 4; ++c) {
    const int column = panel_column + chunk_column<false>(c, lane);
    if (args.wide_stores) {
      if (column < args.cols)
        __stcs(reinterpret_cast<uint2*>(row + column), make_uint2(words[2 * c], words[2 * c + 1]));
      continue;
    }
    for (int i = 0; i < 8 && column + i < args.cols; ++i)
      row[column + i] = static_cast<std::int8_t>(words[2 * c + i / 4] >> (8 * (i % 4)));
  }
}

__device__ inline void store_rotated(const Rows& args, std::int8_t* row, int panel_column,
                                     const unsigned (&words)[8]) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const bool odd = lane % 2 != 0;
  const int start = panel_column + lane / 8 * 256 + (odd ? 16 : 0) + lane % 8 / 2 * 4;
#pragma unroll
  for (int w = 0; w < 8; ++w) {
    const unsigned other = __shfl_xor_sync(kAllLanes, words[w], 1);
    const unsigned word = odd ? __byte_perm(other, words[w], 0x7632) : __byte_perm(words[w], other, 0x5410);
    const int column = start + 32 * w;
    if (column >= args.cols) continue;
    if (args.wide_stores) {
      __stcs(reinterpret_cast<unsigned*>(row + column), word);
      continue;
    }
    for (int i = 0; i < 4; ++i) row[column + i] = static_cast<std::int8_t>(word >> (8 * i));
  }
}

// The row's scale; thread 0 stores it.
__device__ inline float row_scale(const Rows& args, std::int64_t row, float absmax) {
  const float exact = __fdiv_rn(absmax, args.qmax);
  const float scale = fmaxf(exact, args.floor);
  if (threadIdx.x == 0) {
    args.scales[row * args.scales_stride] = scale;
    if (absmax > 0.0f && exact < args.floor) atomicAdd(&args.ledger->floored, 1ull);
  }
  return scale;
}

// kSteps panels for each warp. kGiven: the scale is args.scale, and values may be beyond its range.
template <typename Source, bool kRotated, bool kGiven, int kSteps>
__global__ void __launch_bounds__(kMostWarps * 32) nearest_rows_kernel(const Rows args) {
  extern __shared__ float4 exchange_memory[];
  const int warp = static_cast<int>(threadIdx.x / 32);
  const int warps = static_cast<int>(blockDim.x / 32);
  float* shared = reinterpret_cast<float*>(exchange_memory) + warp * kExchange;
  const unsigned suspicious = kRotated ? __float_as_uint(kRotatedLimit / 2) : kInfinityBits;
  constexpr bool kAhead = kSteps == 1;
  Gathered gathered;
  Chunk<Source> chunks[4];
  int turn = 0;
  std::int64_t row = blockIdx.x;
  if (kAhead && row < args.rows) load_panel<Source, kRotated>(args, row, warp * kPanel, chunks);
  while (row < args.rows) {
    const std::int64_t next = row + gridDim.x;
    float x[kSteps][32];
    unsigned largest = 0;
    for (bool repair = false;; repair = true) {
      float magnitude = 0.0f;
#pragma unroll
      for (int s = 0; s < kSteps; ++s) {
        const int column = (s * warps + warp) * kPanel;
        if (!kAhead || repair) load_panel<Source, kRotated>(args, row, column, chunks);
#pragma unroll
        for (int c = 0; c < 4; ++c) unpack(chunks[c], x[s] + 8 * c);
        if (repair) repair_panel<kRotated>(args, row, column, x[s]);
        if (kAhead && next < args.rows) load_panel<Source, kRotated>(args, next, column, chunks);
        if (kRotated) rotate_panel(x[s], args.group, shared);
#pragma unroll
        for (int i = 0; i < 32; ++i) magnitude = max_magnitude(magnitude, x[s][i]);
      }
      largest = row_max(__float_as_uint(magnitude), turn);
      turn ^= 1;
      if (largest < suspicious || repair) break;
    }
    const float absmax = __fmul_rn(__uint_as_float(largest), args.factor);
    const float scale = kGiven ? args.scale : row_scale(args, row, absmax);
    const Rounding rounding{scale, __fmul_rn(__frcp_rn(scale), args.factor), args.factor, args.qmax};
    RowSums sums;
    std::int8_t* codes = args.codes + row * args.codes_stride;
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      const int column = (s * warps + warp) * kPanel;
      unsigned words[8];
      round_panel<kGiven>(x[s], rounding, words, sums);
      if (kRotated)
        store_rotated(args, codes, column, words);
      else
        store_plain(args, codes, column, words);
    }
    const double unit = static_cast<double>(scale) * static_cast<double>(scale);
    const double error = static_cast<double>(sums.error) * unit;
    gathered.error += error;
    gathered.signal += static_cast<double>(sums.signal) * unit;
    gathered.max_error = fmaxf(gathered.max_error, sums.largest * scale);
    if (args.row_errors != nullptr) {
      const double whole = block_sum(error);
      if (threadIdx.x == 0) args.row_errors[row] = whole;
    }
    row = next;
  }
  settle(args.ledger, args.record, gathered);
}

template <typename Source, bool kRotated, bool kGiven, int kSteps>
void launch_rows(const Launch& launch, const Rows& args) {
  const int panels = (args.cols + kPanel - 1) / kPanel;
  const unsigned warps = static_cast<unsigned>((panels + kSteps - 1) / kSteps);
  const std::size_t shared = kRotated ? warps * kExchange * sizeof(float) : 0;
  const auto kernel = nearest_rows_kernel<Source, kRotated, kGiven, kSteps>;
  const unsigned blocks = grid_for(launch, kernel, args.rows, warps * 32, shared);
  kernel<<<blocks, warps * 32, shared, launch.stream>>>(args);
  check_launch("quantize_nearest");
}

template <typename Source, bool kRotated, bool kGiven>
void launch_steps(const Launch& launch, const Rows& args) {
  if (args.cols <= kPanel * kMostWarps)
    launch_rows<Source, kRotated, kGiven, 1>(launch, args);
  else
    launch_rows<Source, kRotated, kGiven, 2>(launch, args);
}

template <typename Source>
void launch_source(const Launch& launch, const Rows& args) {
  const bool given = args.scales == nullptr;
  if (args.group != 0)
    given ? launch_steps<Source, true, true>(launch, args) : launch_steps<Source, true, false>(launch, args);
  else
    given ? launch_steps<Source, false, true>(launch, args)
          : launch_steps<Source, false, false>(launch, args);
}

std::int64_t bytes_of_source(std::uint32_t dtype) { return dtype == OCTAVO_F32 ? 4 : 2; }

float factor_of(std::int64_t group) {
  return group == 256 ? 1.0f / 16 : group == 64 ? 1.0f / 8 : group == 16 ? 1.0f / 4 : 1.0f;
}

}  // namespace

void nearest_rows(const Launch& launch, const NearestJob& job) {
  const std::uintptr_t alignment = job.basis_group != 0 ? 4 : 8;
  const bool wide_stores = reinterpret_cast<std::uintptr_t>(job.codes) % alignment == 0 &&
                           static_cast<std::uintptr_t>(job.codes_stride) % alignment == 0 &&
                           job.source.cols % 8 == 0;
  const Rows args{static_cast<const std::byte*>(job.source.data),
                  job.source.stride * bytes_of_source(job.source.dtype),
                  job.codes,
                  job.codes_stride,
                  job.scales,
                  job.scales_stride,
                  job.source.rows,
                  static_cast<int>(job.source.cols),
                  static_cast<int>(job.basis_group),
                  factor_of(job.basis_group),
                  job.qmax,
                  job.floor,
                  job.scale,
                  wide_stores,
                  job.row_errors,
                  launch.ledger,
                  launch.record};
  switch (job.source.dtype) {
    case OCTAVO_F32:
      return launch_source<F32>(launch, args);
    case OCTAVO_F16:
      return launch_source<F16>(launch, args);
    default:
      return launch_source<Bf16>(launch, args);
  }
}

}  // namespace octavo::cuda
