// Nearest with a scale for each block of 128 x 128: a block of 512 threads holds all of its values, 32 a
// thread, so the source is read once.
#include "nearest.cuh"
#include "nearest.hpp"
#include "reduce.cuh"
#include "status.hpp"

namespace octavo::cuda {
namespace {

constexpr int kEdge = 128;
constexpr int kThreads = 512;
constexpr int kChunkRows = kThreads / (kEdge / 8);  // 16 threads read a row of the block

struct Blocks {
  const std::byte* source;
  std::int64_t source_stride;  // bytes
  std::int8_t* codes;
  std::int64_t codes_stride;
  float* scales;
  std::int64_t scales_stride;
  std::int64_t rows;
  int cols;
  float qmax;
  float floor;
  Record* records;
};

template <typename Source>
__device__ inline void load_block(const Blocks& args, std::int64_t first_row, int column, float (&x)[32]) {
#pragma unroll
  for (int c = 0; c < 4; ++c) {
    const std::int64_t row = first_row + c * kChunkRows;
    const std::byte* at = args.source + row * args.source_stride + column * Source::kBytes;
    unpack(load_chunk<Source>(at, row < args.rows), x + 8 * c);
  }
}

__device__ inline void repair_block(const Blocks& args, std::int64_t first_row, int column, float (&x)[32],
                                    Tally& tally) {
#pragma unroll
  for (int i = 0; i < 32; ++i) {
    if (is_finite(x[i])) continue;
    note_nonfinite(tally, (first_row + i / 8 * kChunkRows) * args.cols + column + i % 8);
    x[i] = 0.0f;
  }
}

__device__ inline unsigned block_max(const float (&x)[32]) {
  __shared__ unsigned warps[kThreads / 32];
  const unsigned bits = warp_max(__float_as_uint(largest_of(x)));
  const unsigned lane = threadIdx.x % 32;
  __syncthreads();  // an earlier maximum may still be read
  if (lane == 0) warps[threadIdx.x / 32] = bits;
  __syncthreads();
  return warp_max(lane < kThreads / 32 ? warps[lane] : 0u);
}

__device__ inline void store_codes(const Blocks& args, std::int64_t first_row, int column,
                                   const CodeWords& codes) {
#pragma unroll
  for (int c = 0; c < 4; ++c) {
    const std::int64_t row = first_row + c * kChunkRows;
    if (row >= args.rows) continue;
    std::int8_t* at = args.codes + row * args.codes_stride + column;
    __stcs(reinterpret_cast<uint2*>(at), make_uint2(codes.words[2 * c], codes.words[2 * c + 1]));
  }
}

template <typename Source>
__global__ void __launch_bounds__(kThreads, 2) nearest_blocks_kernel(const Blocks args) {
  __shared__ Tally tally;
  open_tally(tally);
  const int across = args.cols / kEdge;
  const std::int64_t count = (args.rows + kEdge - 1) / kEdge * across;
  Gathered gathered;
  for (std::int64_t block = blockIdx.x; block < count; block += gridDim.x) {
    const std::int64_t block_row = block / across;
    const std::int64_t block_column = block % across;
    const std::int64_t row = block_row * kEdge + threadIdx.x / 16;
    const int column = static_cast<int>(block_column) * kEdge + static_cast<int>(threadIdx.x % 16) * 8;
    float x[32];
    load_block<Source>(args, row, column, x);
    unsigned largest = block_max(x);
    if (largest >= kInfinityBits) {
      repair_block(args, row, column, x, tally);
      largest = block_max(x);
    }
    const float absmax = __uint_as_float(largest);
    const float exact = __fdiv_rn(absmax, args.qmax);
    const float scale = fmaxf(exact, args.floor);
    if (threadIdx.x == 0) {
      args.scales[block_row * args.scales_stride + block_column] = scale;
      if (absmax > 0.0f && exact < args.floor) atomicAdd(&tally.floored, 1u);
    }
    const Rounding rounding = rounding_for(scale, 1.0f, 1.0f, args.qmax);
    RowSums sums;
    CodeWords codes;
    round_panel<false, false>(x, rounding, codes, sums);
    store_codes(args, row, column, codes);
    const double unit = static_cast<double>(scale) * static_cast<double>(scale);
    gathered.error += static_cast<double>(sums.error) * unit;
    gathered.signal += static_cast<double>(sums.signal) * unit;
    gathered.max_error = fmaxf(gathered.max_error, sums.largest * scale);
  }
  settle(tally, args.records, gathered);
}

template <typename Source>
void launch_source(const Launch& launch, Blocks args) {
  const std::int64_t count = (args.rows + kEdge - 1) / kEdge * (args.cols / kEdge);
  const unsigned blocks = grid_for(launch, nearest_blocks_kernel<Source>, count, kThreads);
  args.records = launch.records(blocks);
  nearest_blocks_kernel<Source><<<blocks, kThreads, 0, launch.stream>>>(args);
  check_launch("quantize_nearest");
}

}  // namespace

void nearest_blocks(const Launch& launch, const NearestJob& job) {
  const std::int64_t element = job.source.dtype == OCTAVO_F32 ? 4 : 2;
  const Blocks args{static_cast<const std::byte*>(job.source.data),
                    job.source.stride * element,
                    job.codes,
                    job.codes_stride,
                    job.scales,
                    job.scales_stride,
                    job.source.rows,
                    static_cast<int>(job.source.cols),
                    job.qmax,
                    job.floor,
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
