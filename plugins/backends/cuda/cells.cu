// A warp finds what it needs of a cell, so cells may have any shape; then a block rounds a row's chunk.
#include "cells.hpp"
#include "chunks.cuh"
#include "codes.cuh"
#include "reduce.cuh"
#include "status.hpp"

namespace octavo::cuda {
namespace {

constexpr int kWarps = kChunkThreads / 32;

__device__ inline std::int64_t cell_of(const LevelPlan& level, std::int64_t row, std::int64_t col) {
  return row / level.block_rows * level.cols + col / level.block_cols;
}

// absmax / (largest code x largest next level), relative to the outer level's scale.
__device__ inline float exact_scale(const LevelPlan& level, float absmax, float outer) {
  if (outer == 0.0f) return 0.0f;
  const float own = __fdiv_rn(absmax, level.divisor);
  return outer == 1.0f ? own : __fdiv_rn(own, outer);
}

// The smallest power of two >= value, from 2^-127 to 2^127.
__device__ inline float power_of_two_above(float value) {
  if (value <= 0x1p-127f) return 0x1p-127f;
  const unsigned bits = __float_as_uint(value);
  if (bits <= 0x00800000u) return 0x1p-126f;
  const int exponent = static_cast<int>(bits >> 23) - 127 + ((bits & 0x7fffffu) != 0 ? 1 : 0);
  return power_of_two(exponent < 127 ? exponent : 127);
}

__device__ inline float stored_scale(const LevelPlan& level, float exact) {
  if (level.rule == OCTAVO_SCALE_ABSMAX_POW2)
    return rounded_to(level.dtype, power_of_two_above(fmaxf(exact, level.floor)));
  return rounded_to(level.dtype, fminf(fmaxf(exact, level.floor), largest_finite(level.dtype)));
}

__device__ inline void store_scale(const LevelPlan& level, float scale, std::int64_t cell) {
  level.values[cell] = scale;
  if (level.stored == nullptr) return;
  const std::int64_t at = cell / level.cols * level.stride + cell % level.cols;
  if (level.dtype == OCTAVO_F8_E8M0)
    static_cast<std::uint8_t*>(level.stored)[at] =
        static_cast<std::uint8_t>(__float_as_uint(scale) >> 23);  // 2^-127, a subnormal, is 0
  else
    store(scale, level.dtype, level.stored, at);
}

struct Region {
  std::int64_t row_begin, row_end, col_begin, col_end;
};

__device__ inline Region region_of(const LevelPlan& level, const View& codes, std::int64_t cell) {
  const std::int64_t row = cell / level.cols * level.block_rows;
  const std::int64_t col = cell % level.cols * level.block_cols;
  return {row, min(row + level.block_rows, codes.rows), col, min(col + level.block_cols, codes.cols)};
}

__device__ inline float outer_scale(const CellsJob& job, int index, const Region& region) {
  if (index != 0 || job.level_count < 2) return 1.0f;
  return job.levels[1].values[cell_of(job.levels[1], region.row_begin, region.col_begin)];
}

__global__ void __launch_bounds__(kChunkThreads)
    scales_kernel(const __grid_constant__ CellsJob job, const int index, Record* records) {
  __shared__ Tally tally;
  open_tally(tally);
  const LevelPlan& level = job.levels[index];
  const std::int64_t count = level.rows * level.cols;
  const unsigned lane = threadIdx.x % 32;
  for (std::int64_t cell = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / 32; cell < count;
       cell += std::int64_t{gridDim.x} * kWarps) {
    const Region region = region_of(level, job.codes, cell);
    unsigned largest = 0;
    for (std::int64_t row = region.row_begin; row < region.row_end; ++row) {
      for (std::int64_t col = region.col_begin + lane; col < region.col_end; col += 32)
        largest = max(largest, magnitude_bits(job.values[row * job.codes.cols + col]));
    }
    const float absmax = __uint_as_float(warp_max(largest));
    if (lane != 0) continue;
    const float exact = exact_scale(level, absmax, outer_scale(job, index, region));
    store_scale(level, stored_scale(level, exact), cell);
    if (index == 0 && absmax > 0.0f && exact < level.floor) atomicAdd(&tally.floored, 1u);
  }
  settle(tally, records, {});
}

__global__ void whole_scale_kernel(const __grid_constant__ CellsJob job, const int index,
                                   const float absmax) {
  const LevelPlan& level = job.levels[index];
  const float outer = outer_scale(job, index, {0, 0, 0, 0});
  level.values[0] = stored_scale(level, exact_scale(level, absmax, outer));
}

// (max - min) / (qmax - qmin) with 0 in the range, and the code of 0.
__device__ inline void store_range(const CellsJob& job, std::int64_t cell, float low, float high) {
  const LevelPlan& level = job.levels[0];
  const double least = fminf(low, 0.0f);
  const double range = static_cast<double>(fmaxf(high, 0.0f)) - least;  // f32 could overflow
  const double steps = static_cast<double>(job.code.highest) - static_cast<double>(job.code.lowest);
  const float exact = __double2float_rn(range / steps);
  const float scale = rounded_to(level.dtype, fminf(fmaxf(exact, level.floor), largest_finite(level.dtype)));
  const float lowest = scale > 0.0f ? __fdiv_rn(__double2float_rn(least), scale) : 0.0f;
  const float zero = nearest_code(job.code, __fsub_rn(job.code.lowest, rintf(lowest)));
  store_scale(level, scale, cell);
  job.zero.values[cell] = zero;
  store_zero_point(zero, job.zero.dtype, job.zero.stored,
                   cell / level.cols * job.zero.stride + cell % level.cols);
}

__global__ void __launch_bounds__(kChunkThreads) ranges_kernel(const __grid_constant__ CellsJob job) {
  const LevelPlan& level = job.levels[0];
  const std::int64_t count = level.rows * level.cols;
  const unsigned lane = threadIdx.x % 32;
  for (std::int64_t cell = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / 32; cell < count;
       cell += std::int64_t{gridDim.x} * kWarps) {
    const Region region = region_of(level, job.codes, cell);
    float low = 0.0f, high = 0.0f;
    for (std::int64_t row = region.row_begin; row < region.row_end; ++row) {
      for (std::int64_t col = region.col_begin + lane; col < region.col_end; col += 32) {
        const float value = job.values[row * job.codes.cols + col];
        low = fminf(low, value);
        high = fmaxf(high, value);
      }
    }
    low = -__uint_as_float(warp_max(__float_as_uint(fabsf(low))));
    high = __uint_as_float(warp_max(__float_as_uint(high) & 0x7fffffffu));
    if (lane == 0) store_range(job, cell, low, high);
  }
}

struct Decoding {
  float scale;
  float zero;
};

__device__ inline Decoding decoding_of(const CellsJob& job, std::int64_t row, std::int64_t col) {
  if (job.level_count == 0) return {1.0f, 0.0f};
  const std::int64_t cell = cell_of(job.levels[0], row, col);
  float scale = job.levels[0].values[cell];
  if (job.level_count == 2) scale = __fmul_rn(scale, job.levels[1].values[cell_of(job.levels[1], row, col)]);
  return {scale, job.zero.stored != nullptr ? job.zero.values[cell] : 0.0f};
}

// Rounds one value; its error goes to `gathered` and is returned squared.
__device__ inline double round_cell_value(const CellsJob& job, std::int64_t row, std::int64_t col,
                                          Gathered& gathered) {
  const float value = job.values[row * job.codes.cols + col];
  const Decoding decoding = decoding_of(job, row, col);
  const float t = decoding.scale > 0.0f ? __fdiv_rn(value, decoding.scale) : 0.0f;
  const bool with_zero = job.zero.stored != nullptr;
  const float code = nearest_code(job.code, with_zero ? __fadd_rn(rintf(t), decoding.zero) : t);
  store_code(job.code, code, job.codes.data, row * job.codes.stride + col);
  // The product is exact in double, which is how the reference takes the error.
  const double stored =
      static_cast<double>(__fsub_rn(code, decoding.zero)) * static_cast<double>(decoding.scale);
  const double error = stored - static_cast<double>(value);
  gathered.signal += static_cast<double>(value) * static_cast<double>(value);
  gathered.max_error = fmaxf(gathered.max_error, static_cast<float>(fabs(error)));
  return error * error;
}

__global__ void __launch_bounds__(kChunkThreads)
    codes_kernel(const __grid_constant__ CellsJob job, const Chunks chunks, Record* records) {
  __shared__ Tally tally;
  open_tally(tally);
  Gathered gathered;
  for (std::int64_t chunk = blockIdx.x; chunk < chunks.count(); chunk += gridDim.x) {
    const ChunkPlace place = place_of(chunks, chunk);
    double error = 0.0;
    for (std::int64_t col = place.begin + threadIdx.x; col < place.end; col += kChunkThreads)
      error += round_cell_value(job, place.row, col, gathered);
    gathered.error += error;
    if (job.row_errors == nullptr) continue;
    const double whole = block_sum(error);  // a chunk is a whole row then
    if (threadIdx.x == 0 && place.row < job.source_rows) job.row_errors[place.row] = whole;
  }
  settle(tally, records, gathered);
}

__global__ void load_levels_kernel(const __grid_constant__ CellsJob job) {
  const std::int64_t thread = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  const std::int64_t threads = std::int64_t{gridDim.x} * blockDim.x;
  for (int index = 0; index < job.level_count; ++index) {
    const LevelPlan& level = job.levels[index];
    for (std::int64_t cell = thread; cell < level.rows * level.cols; cell += threads) {
      const std::int64_t row = cell / level.cols, col = cell % level.cols;
      level.values[cell] = load(level.stored, level.dtype, row * level.stride + col);
      if (index == 0 && job.zero.stored != nullptr)
        job.zero.values[cell] = load_zero_point(job.zero.dtype, job.zero.stored, row * job.zero.stride + col);
    }
  }
}

__global__ void __launch_bounds__(kChunkThreads)
    read_codes_kernel(const __grid_constant__ CellsJob job, const View target, const Chunks chunks) {
  for (std::int64_t chunk = blockIdx.x; chunk < chunks.count(); chunk += gridDim.x) {
    const ChunkPlace place = place_of(chunks, chunk);
    float* to = static_cast<float*>(target.data) + place.row * target.stride;
    for (std::int64_t col = place.begin + threadIdx.x; col < place.end; col += kChunkThreads) {
      const Decoding decoding = decoding_of(job, place.row, col);
      const float code = load_code(job.code, job.codes.data, place.row * job.codes.stride + col);
      to[col] = __fmul_rn(__fsub_rn(code, decoding.zero), decoding.scale);
    }
  }
}

std::int64_t warps_of(std::int64_t cells) { return (cells + kWarps - 1) / kWarps; }

}  // namespace

void make_scales(const Launch& launch, const CellsJob& job, int index) {
  const LevelPlan& level = job.levels[index];
  const unsigned blocks = grid_for(launch, scales_kernel, warps_of(level.rows * level.cols), kChunkThreads);
  scales_kernel<<<blocks, kChunkThreads, 0, launch.stream>>>(job, index, launch.records(blocks));
  check_launch("quantize_nearest");
}

void make_ranges(const Launch& launch, const CellsJob& job) {
  const LevelPlan& level = job.levels[0];
  const unsigned blocks = grid_for(launch, ranges_kernel, warps_of(level.rows * level.cols), kChunkThreads);
  ranges_kernel<<<blocks, kChunkThreads, 0, launch.stream>>>(job);
  check_launch("quantize_nearest");
}

void make_whole_scale(const Launch& launch, const CellsJob& job, int index, float absmax) {
  whole_scale_kernel<<<1, 1, 0, launch.stream>>>(job, index, absmax);
  check_launch("quantize_nearest");
}

void make_codes(const Launch& launch, const CellsJob& job) {
  const std::int64_t width = job.row_errors != nullptr ? job.codes.cols : kChunkColumns;
  const Chunks chunks{job.codes.rows, job.codes.cols, width > 0 ? width : 1};
  const unsigned blocks = grid_for(launch, codes_kernel, chunks.count(), kChunkThreads);
  codes_kernel<<<blocks, kChunkThreads, 0, launch.stream>>>(job, chunks, launch.records(blocks));
  check_launch("quantize_nearest");
}

void load_levels(const Launch& launch, const CellsJob& job) {
  std::int64_t cells = 1;
  for (int i = 0; i < job.level_count; ++i) {
    if (job.levels[i].rows * job.levels[i].cols > cells) cells = job.levels[i].rows * job.levels[i].cols;
  }
  const unsigned blocks =
      grid_for(launch, load_levels_kernel, (cells + kChunkThreads - 1) / kChunkThreads, kChunkThreads);
  load_levels_kernel<<<blocks, kChunkThreads, 0, launch.stream>>>(job);
  check_launch("dequantize");
}

void read_codes(const Launch& launch, const CellsJob& job, const View& target) {
  const Chunks chunks{job.codes.rows, job.codes.cols, kChunkColumns};
  const unsigned blocks = grid_for(launch, read_codes_kernel, chunks.count(), kChunkThreads);
  read_codes_kernel<<<blocks, kChunkThreads, 0, launch.stream>>>(job, target, chunks);
  check_launch("dequantize");
}

}  // namespace octavo::cuda
