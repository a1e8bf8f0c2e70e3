// What a block reports: sums, largest values and counts.
//
// Sums are added up in an order that depends on the launch's grid alone: each thread its elements, each block
// its threads, and another launch the blocks (totals.hpp). Counts and maxima need no order: threads tally
// them in the block's shared memory, most of them in cases that hardly ever happen.
#pragma once

#include "record.hpp"

namespace octavo::cuda {

constexpr unsigned kAllLanes = 0xffffffffu;
constexpr unsigned long long kNoIndex = ~0ull;

__device__ inline unsigned warp_max(unsigned value) {
#if __CUDA_ARCH__ >= 800
  return __reduce_max_sync(kAllLanes, value);
#else
  for (int distance = 16; distance > 0; distance /= 2)
    value = max(value, __shfl_xor_sync(kAllLanes, value, distance));
  return value;
#endif
}

__device__ inline double warp_sum(double value) {
  for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(kAllLanes, value, distance);
  return value;
}

// The warp's sums of two values in hardly more rounds than one takes: of `a` in lane 0, of `b` in lane 16.
__device__ inline double warp_sums(double a, double b) {
  const bool is_first = threadIdx.x % 32 < 16;
  double value = (is_first ? a : b) + __shfl_xor_sync(kAllLanes, is_first ? b : a, 16);
  for (int distance = 8; distance > 0; distance /= 2) value += __shfl_xor_sync(kAllLanes, value, distance);
  return value;
}

// The block's sum, in every thread. All threads of the block call it; the block has whole warps.
__device__ inline double block_sum(double value) {
  __shared__ double warps[32];
  value = warp_sum(value);
  __syncthreads();  // an earlier sum may still be read
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = value;
  __syncthreads();
  const unsigned lane = threadIdx.x % 32;
  return warp_sum(lane < blockDim.x / 32 ? warps[lane] : 0.0);
}

// Called by all threads of a kernel that launch_overlapping() launches, before they write global memory or
// read what the launch ahead writes: waits for that launch. Only then what comes after this one may begin, so
// that the launch before last has always ended.
__device__ inline void start_after_previous() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

// What one thread has gathered.
struct Gathered {
  double error = 0.0;
  double signal = 0.0;
  float max_error = 0.0f;
};

// What the threads of a block have counted, in its shared memory.
struct Tally {
  unsigned long long first;
  unsigned nonfinite;
  unsigned overflow;
  unsigned underflow;
  unsigned floored;
  unsigned max_error;  // bits of a float >= 0, which order as integers do
  unsigned absmax;
};

// Called by all threads of the block before anything is noted.
__device__ inline void open_tally(Tally& tally) {
  if (threadIdx.x == 0) tally = {kNoIndex, 0, 0, 0, 0, 0, 0};
  __syncthreads();
}

__device__ inline void note_nonfinite(Tally& tally, long long index) {
  atomicAdd(&tally.nonfinite, 1u);
  atomicMin(&tally.first, static_cast<unsigned long long>(index));
}

__device__ inline void note_absmax(Tally& tally, unsigned bits) {
  bits = warp_max(bits);
  if (threadIdx.x % 32 == 0 && bits != 0) atomicMax(&tally.absmax, bits);
}

__device__ inline void note_count(unsigned& counter, unsigned count) {
  if (count != 0) atomicAdd(&counter, count);
}

// What the threads of the block have gathered and tallied. Called once by all of them, after the last note.
__device__ inline void write_record(Tally& tally, const Gathered& gathered, Record& record) {
  __shared__ double warps[2][32];
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const unsigned largest = warp_max(__float_as_uint(gathered.max_error));
  double sums = warp_sums(gathered.error, gathered.signal);
  if (lane % 16 == 0) warps[lane / 16][warp] = sums;
  if (lane == 0 && largest != 0) atomicMax(&tally.max_error, largest);
  __syncthreads();
  if (warp != 0) return;
  const bool is_there = lane < blockDim.x / 32;
  sums = warp_sums(is_there ? warps[0][lane] : 0.0, is_there ? warps[1][lane] : 0.0);
  const double signal = __shfl_sync(kAllLanes, sums, 16);
  if (lane != 0) return;
  record = {sums,
            signal,
            tally.first == kNoIndex ? -1 : static_cast<long long>(tally.first),
            __uint_as_float(tally.max_error),
            __uint_as_float(tally.absmax),
            tally.nonfinite,
            tally.overflow,
            tally.underflow,
            tally.floored};
}

// Ends a launch that reports. The grid has one dimension; `records` has one for each block, or is nullptr
// where nobody asks.
__device__ inline void settle(Tally& tally, Record* records, const Gathered& gathered) {
  if (records != nullptr) write_record(tally, gathered, records[blockIdx.x]);
}

}  // namespace octavo::cuda
