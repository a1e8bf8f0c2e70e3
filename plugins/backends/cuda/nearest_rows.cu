// Nearest with a scale for each row: one read of the source, one write of the codes.
//
// A block takes a row at a time; several blocks on a multiprocessor are at different points of theirs, so
// some wait for memory while others compute, and the next row of each is on its way into the L2 cache. Each
// warp has a panel of 1024 columns, 32 values a thread. Plain: thread l holds columns 8l..8l+7 of each 256,
// packed as they were read until they are rounded. ConvRot: thread l holds two runs of 16 consecutive
// columns, so strides 1 and 4 stay within a thread; one exchange through shared memory gives it two columns
// of all 16 runs of a group, for strides 16 and 64. Then the largest magnitude of the row, the scale, the
// codes. In the second layout a thread's word has two codes of each of two runs; its neighbour has the next
// two, so one shuffle makes words of consecutive codes.
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
constexpr int kMostWarps = 32;
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
  Board* board;
  Record* record;
};

// First column of the 8 that thread `lane` holds as chunk `chunk` of a panel.
template <bool kRotated>
__device__ inline int chunk_column(int chunk, int lane) {
  return kRotated ? ((chunk / 2) * 32 + lane) * 16 + (chunk % 2) * 8 : (chunk * 32 + lane) * 8;
}

// `row` points at the thread's first value of the panel; `whole`: the row reaches to the panel's end.
template <typename Source, bool kRotated>
__device__ inline void load_panel(const std::byte* row, bool whole, int column, int cols,
                                  Chunk<Source> (&chunks)[4]) {
  const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int c = 0; c < 4; ++c) {
    const int from_first = chunk_column<kRotated>(c, lane) - chunk_column<kRotated>(0, lane);
    const int left = whole ? 8 : cols - column - chunk_column<kRotated>(c, lane);
    chunks[c] = load_chunk<Source>(row + from_first * Source::kBytes, left > 0);
  }
}

// Makes values that are not usable 0 and counts them.
template <typename Source, bool kRotated>
__device__ inline void repair_panel(const Rows& args, std::int64_t row, int panel_column,
                                    Chunk<Source> (&chunks)[4], Tally& tally) {
  const unsigned limit = kRotated ? __float_as_uint(kRotatedLimit) : kInfinityBits;
  const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int c = 0; c < 4; ++c) {
    float values[8];
    unpack(chunks[c], values);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if (magnitude_bits(values[i]) < limit) continue;
      note_nonfinite(tally, row * args.cols + panel_column + chunk_column<kRotated>(c, lane) + i);
      clear_value(chunks[c], i);
    }
  }
}

// Asks for the panel's next row, a line of 128 bytes for each thread that has one.
template <typename Source>
__device__ inline void prefetch_panel(const std::byte* panel, int bytes) {
  const int offset = static_cast<int>(threadIdx.x % 32) * 128;
  if (offset < bytes) asm volatile("prefetch.global.L2 [%0];" ::"l"(panel + offset));
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

// `row` points at the thread's first code of the panel, here and below.
__device__ inline void store_plain(const Rows& args, std::int8_t* row, bool whole, int column,
                                   const unsigned (&words)[8]) {
  const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int c = 0; c < 4; ++c) {
    const int left = whole ? 8 : args.cols - column - chunk_column<false>(c, lane);
    std::int8_t* const at = row + 256 * c;
    if (args.wide_stores) {
      if (left > 0) __stcs(reinterpret_cast<uint2*>(at), make_uint2(words[2 * c], words[2 * c + 1]));
      continue;
    }
    for (int i = 0; i < 8 && i < left; ++i)
      at[i] = static_cast<std::int8_t>(words[2 * c + i / 4] >> (8 * (i % 4)));
  }
}

// First column of the 4 whose codes the thread stores first; the others follow every 32 columns.
__device__ inline int rotated_column(int lane) {
  return lane / 8 * 256 + (lane % 2 != 0 ? 16 : 0) + lane % 8 / 2 * 4;
}

__device__ inline void store_rotated(const Rows& args, std::int8_t* row, bool whole, int column,
                                     const unsigned (&words)[8]) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const bool odd = lane % 2 != 0;
#pragma unroll
  for (int w = 0; w < 8; ++w) {
    const unsigned other = __shfl_xor_sync(kAllLanes, words[w], 1);
    const unsigned word = odd ? __byte_perm(other, words[w], 0x7632) : __byte_perm(words[w], other, 0x5410);
    if (!whole && column + rotated_column(lane) + 32 * w >= args.cols) continue;
    std::int8_t* const at = row + 32 * w;
    if (args.wide_stores) {
      __stcs(reinterpret_cast<unsigned*>(at), word);
      continue;
    }
    for (int i = 0; i < 4; ++i) at[i] = static_cast<std::int8_t>(word >> (8 * i));
  }
}

// The row's scale; thread 0 stores it.
__device__ inline float row_scale(const Rows& args, std::int64_t row, float absmax, Tally& tally) {
  const float exact = __fdiv_rn(absmax, args.qmax);
  const float scale = fmaxf(exact, args.floor);
  if (threadIdx.x == 0) {
    args.scales[row * args.scales_stride] = scale;
    if (absmax > 0.0f && exact < args.floor) atomicAdd(&tally.floored, 1u);
  }
  return scale;
}

// The largest magnitude of the panel in its basis, times 1 / factor. Rotated values are left in `x`.
template <typename Source, bool kRotated>
__device__ inline float take_panel(const Chunk<Source> (&chunks)[4], int group, float* shared,
                                   float (&x)[32]) {
  if (!kRotated) return largest_of(chunks);
  unpack_panel(chunks, x);
  rotate_panel(x, group, shared);
  return largest_of(x);
}

// kGiven: the scale is args.scale, and values may be beyond its range.
template <typename Source, bool kRotated, bool kGiven>
__global__ void __launch_bounds__(kMostWarps * 32, 1) nearest_rows_kernel(const __grid_constant__ Rows args) {
  extern __shared__ float4 exchange_memory[];
  __shared__ Tally tally;
  open_tally(tally);
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int warp = static_cast<int>(threadIdx.x / 32);
  const int column = warp * kPanel;
  const bool whole = column + kPanel <= args.cols;
  float* const shared = reinterpret_cast<float*>(exchange_memory) + warp * kExchange;
  const unsigned suspicious = kRotated ? __float_as_uint(kRotatedLimit / 2) : kInfinityBits;
  const int first_code = column + (kRotated ? rotated_column(lane) : chunk_column<false>(0, lane));
  const std::byte* panel =
      args.source + blockIdx.x * args.source_stride + std::int64_t{column} * Source::kBytes;
  const int panel_bytes = min(args.cols - column, kPanel) * Source::kBytes;
  std::int8_t* codes = args.codes + blockIdx.x * args.codes_stride + first_code;
  Gathered gathered;
  int turn = 0;
  for (std::int64_t row = blockIdx.x; row < args.rows; row += gridDim.x) {
    const std::byte* const values = panel + chunk_column<kRotated>(0, lane) * Source::kBytes;
    Chunk<Source> chunks[4];
    float x[32];
    load_panel<Source, kRotated>(values, whole, column, args.cols, chunks);
    panel += gridDim.x * args.source_stride;
    if (row + gridDim.x < args.rows) prefetch_panel<Source>(panel, panel_bytes);
    unsigned largest =
        row_max(__float_as_uint(take_panel<Source, kRotated>(chunks, args.group, shared, x)), turn);
    turn ^= 1;
    if (largest >= suspicious) {
      load_panel<Source, kRotated>(values, whole, column, args.cols, chunks);
      repair_panel<Source, kRotated>(args, row, column, chunks, tally);
      largest = row_max(__float_as_uint(take_panel<Source, kRotated>(chunks, args.group, shared, x)), turn);
      turn ^= 1;
    }
    const float absmax = __fmul_rn(__uint_as_float(largest), args.factor);
    const float scale = kGiven ? args.scale : row_scale(args, row, absmax, tally);
    const Rounding rounding = rounding_for(scale, args.factor, args.qmax);
    if (!kRotated) unpack_panel(chunks, x);
    RowSums sums;
    unsigned words[8];
    round_panel<kGiven, kRotated && !kGiven>(x, rounding, words, sums);
    if (kRotated)
      store_rotated(args, codes, whole, column, words);
    else
      store_plain(args, codes, whole, column, words);
    codes += gridDim.x * args.codes_stride;
    const double unit = static_cast<double>(scale) * static_cast<double>(scale);
    const double error = static_cast<double>(sums.error) * unit;
    gathered.error += error;
    gathered.signal += static_cast<double>(sums.signal) * unit;
    gathered.max_error = fmaxf(gathered.max_error, sums.largest * scale);
    if (args.row_errors != nullptr) {
      const double whole_row = block_sum(error);
      if (threadIdx.x == 0) args.row_errors[row] = whole_row;
    }
  }
  settle(tally, args.board, args.record, gathered);
}

template <typename Source, bool kRotated, bool kGiven>
void launch_rows(const Launch& launch, Rows args) {
  const unsigned warps = static_cast<unsigned>((args.cols + kPanel - 1) / kPanel);
  const std::size_t shared = kRotated ? warps * kExchange * sizeof(float) : 0;
  const auto kernel = nearest_rows_kernel<Source, kRotated, kGiven>;
  const unsigned blocks = grid_for(launch, kernel, args.rows, warps * 32, shared);
  args.record = launch.record();
  kernel<<<blocks, warps * 32, shared, launch.stream>>>(args);
  check_launch("quantize_nearest");
}

template <typename Source>
void launch_source(const Launch& launch, const Rows& args) {
  const bool given = args.scales == nullptr;
  if (args.group != 0)
    given ? launch_rows<Source, true, true>(launch, args) : launch_rows<Source, true, false>(launch, args);
  else
    given ? launch_rows<Source, false, true>(launch, args) : launch_rows<Source, false, false>(launch, args);
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
                  launch.board,
                  nullptr};
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
