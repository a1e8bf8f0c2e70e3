// As the reference does it: the scale in f32, the divisor and the quotient rounded to the compute dtype.
#include "chunks.cuh"
#include "convert.cuh"
#include "reduce.cuh"
#include "status.hpp"
#include "w8a8.hpp"

namespace octavo::cuda {
namespace {

constexpr float kScaleFloor = 1e-30f;

// Bits of the token's largest magnitude, in every thread of the block.
__device__ inline unsigned token_absmax(const View& x, std::int64_t token) {
  __shared__ unsigned largest;
  if (threadIdx.x == 0) largest = 0;
  __syncthreads();
  unsigned bits = 0;
  for (std::int64_t i = threadIdx.x; i < x.cols; i += kChunkThreads)
    bits = max(bits, magnitude_bits(load(x.data, x.dtype, token * x.stride + i)));
  bits = warp_max(bits);
  if (threadIdx.x % 32 == 0) atomicMax(&largest, bits);
  __syncthreads();
  bits = largest;
  __syncthreads();
  return bits;
}

__device__ inline float divisor_of(std::uint32_t compute_dtype, float scale) {
  const float divisor = rounded_to(compute_dtype, scale);
  if (divisor != 0.0f) return divisor;
  return power_of_two(compute_dtype == OCTAVO_F16 ? -14 : -126);  // the smallest normal
}

__global__ void __launch_bounds__(kChunkThreads) tokens_kernel(const TokenJob job) {
  for (std::int64_t token = blockIdx.x; token < job.padded_tokens; token += gridDim.x) {
    const bool is_there = token < job.x.rows;
    const unsigned largest = is_there ? token_absmax(job.x, token) : 0;
    const bool usable = is_there && largest < kInfinityBits;
    const float scale = fmaxf(__fdiv_rn(__uint_as_float(largest), 127.0f), kScaleFloor);
    const float divisor = divisor_of(job.compute_dtype, usable ? scale : 1.0f);
    if (is_there && threadIdx.x == 0) job.scales[token] = usable ? scale : __uint_as_float(0x7fc00000u);
    for (std::int64_t i = threadIdx.x; i < job.stride; i += kChunkThreads) {
      float code = 0.0f;
      if (usable && i < job.x.cols) {
        const float value = load(job.x.data, job.x.dtype, token * job.x.stride + i);
        const float quotient = rounded_to(job.compute_dtype, __fdiv_rn(value, divisor));
        code = fminf(fmaxf(rintf(quotient), -128.0f), 127.0f);
      }
      job.codes[token * job.stride + i] = static_cast<std::int8_t>(static_cast<int>(code));
    }
  }
}

__global__ void __launch_bounds__(kChunkThreads)
    pad_kernel(const View codes, std::int8_t* target, const Chunks chunks) {
  for (std::int64_t chunk = blockIdx.x; chunk < chunks.count(); chunk += gridDim.x) {
    const ChunkPlace place = place_of(chunks, chunk);
    for (std::int64_t col = place.begin + threadIdx.x; col < place.end; col += kChunkThreads) {
      const bool is_there = place.row < codes.rows && col < codes.cols;
      target[place.row * chunks.cols + col] =
          is_there ? static_cast<const std::int8_t*>(codes.data)[place.row * codes.stride + col]
                   : std::int8_t{0};
    }
  }
}

__global__ void __launch_bounds__(kChunkThreads) outputs_kernel(const OutputJob job, const Chunks chunks) {
  const float* row_scales = static_cast<const float*>(job.row_scales.data);
  const std::int64_t step = job.row_scales.rows == 1 ? 0 : job.row_scales.stride;
  const std::uint32_t dtype = job.y.dtype;
  for (std::int64_t chunk = blockIdx.x; chunk < chunks.count(); chunk += gridDim.x) {
    const ChunkPlace place = place_of(chunks, chunk);
    const float token_scale = job.token_scales[place.row];
    for (std::int64_t n = place.begin + threadIdx.x; n < place.end; n += kChunkThreads) {
      const float sum = __int2float_rn(job.sums[place.row * job.sums_stride + n]);
      float y = rounded_to(dtype, __fmul_rn(sum, __fmul_rn(token_scale, row_scales[n * step])));
      if (job.bias.data != nullptr)
        y = rounded_to(dtype, __fadd_rn(y, load(job.bias.data, dtype, n * job.bias.stride)));
      if (is_nan(y)) y = __uint_as_float(0x7fc00000u);  // arithmetic on a GPU makes another one
      store(y, dtype, job.y.data, place.row * job.y.stride + n);
    }
  }
}

constexpr int kMirrorTile = 32, kMirrorRows = 8;

// A square of the lower triangle to its place in the upper one, whole lines on both sides.
__global__ void mirror_kernel(const View matrix) {
  __shared__ float tile[kMirrorTile][kMirrorTile + 1];
  if (blockIdx.y > blockIdx.x) return;
  float* data = static_cast<float*>(matrix.data);
  const std::int64_t left = std::int64_t{blockIdx.x} * kMirrorTile,
                     top = std::int64_t{blockIdx.y} * kMirrorTile;
  const int x = static_cast<int>(threadIdx.x);
  for (int y = static_cast<int>(threadIdx.y); y < kMirrorTile; y += kMirrorRows) {
    if (left + y < matrix.cols && top + x < matrix.cols)
      tile[y][x] = data[(left + y) * matrix.stride + top + x];
  }
  __syncthreads();
  for (int y = static_cast<int>(threadIdx.y); y < kMirrorTile; y += kMirrorRows) {
    const std::int64_t row = top + y, col = left + x;
    if (col < matrix.cols && row < col) data[row * matrix.stride + col] = tile[x][y];
  }
}

}  // namespace

void quantize_tokens(const Launch& launch, const TokenJob& job) {
  if (job.padded_tokens == 0) return;
  const unsigned blocks = grid_for(launch, tokens_kernel, job.padded_tokens, kChunkThreads);
  tokens_kernel<<<blocks, kChunkThreads, 0, launch.stream>>>(job);
  check_launch("matmul_int8");
}

void pad_codes(const Launch& launch, const View& codes, std::int8_t* target, std::int64_t rows,
               std::int64_t stride) {
  const Chunks chunks{rows, stride, kChunkColumns};
  const unsigned blocks = grid_for(launch, pad_kernel, chunks.count(), kChunkThreads);
  pad_kernel<<<blocks, kChunkThreads, 0, launch.stream>>>(codes, target, chunks);
  check_launch("matmul_int8");
}

void finish_outputs(const Launch& launch, const OutputJob& job) {
  const Chunks chunks{job.y.rows, job.y.cols, kChunkColumns};
  const unsigned blocks = grid_for(launch, outputs_kernel, chunks.count(), kChunkThreads);
  outputs_kernel<<<blocks, kChunkThreads, 0, launch.stream>>>(job, chunks);
  check_launch("matmul_int8");
}

void mirror(const Launch& launch, const View& matrix) {
  if (matrix.cols == 0) return;
  const auto tiles = static_cast<unsigned>((matrix.cols + kMirrorTile - 1) / kMirrorTile);
  const dim3 threads(kMirrorTile, kMirrorRows), blocks(tiles, tiles);
  mirror_kernel<<<blocks, threads, 0, launch.stream>>>(matrix);
  check_launch("gram");
}

}  // namespace octavo::cuda
