// What a launch reports: sums, largest values and counts.
//
// Sums are added up in an order that depends on the launch's grid alone: each thread its elements, each block
// its threads, and the block that finishes last the blocks. Counts and maxima need no order and go through
// atomics, most of them in cases that hardly ever happen. The last block writes the record into pinned host
// memory and leaves the ledger as it found it, so no launch needs anything cleared.
#pragma once

#include "record.hpp"

namespace octavo::cuda {

constexpr unsigned kAllLanes = 0xffffffffu;

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

// What one thread has gathered.
struct Gathered {
  double error = 0.0;
  double signal = 0.0;
  float max_error = 0.0f;
};

__device__ inline void note_nonfinite(Ledger* ledger, long long index) {
  atomicAdd(&ledger->nonfinite, 1ull);
  atomicMin(&ledger->first, static_cast<unsigned long long>(index));
}

__device__ inline void note_absmax(Ledger* ledger, unsigned bits) {
  bits = warp_max(bits);
  if (threadIdx.x % 32 == 0 && bits != 0) atomicMax(&ledger->absmax, bits);
}

__device__ inline void note_count(unsigned long long* counter, unsigned count) {
  if (count != 0) atomicAdd(counter, static_cast<unsigned long long>(count));
}

// Empties the ledger into the record, if there is one.
__device__ inline void write_record(Ledger* ledger, Record* record, double error, double signal) {
  Record made;
  made.error_sum = error;
  made.signal_sum = signal;
  made.max_error = __uint_as_float(atomicExch(&ledger->max_error, 0u));
  made.absmax = __uint_as_float(atomicExch(&ledger->absmax, 0u));
  made.nonfinite = static_cast<long long>(atomicExch(&ledger->nonfinite, 0ull));
  const unsigned long long first = atomicExch(&ledger->first, kNoIndex);
  made.first = first == kNoIndex ? -1 : static_cast<long long>(first);
  made.overflow = static_cast<long long>(atomicExch(&ledger->overflow, 0ull));
  made.underflow = static_cast<long long>(atomicExch(&ledger->underflow, 0ull));
  made.floored = static_cast<long long>(atomicExch(&ledger->floored, 0ull));
  atomicExch(&ledger->blocks_done, 0u);
  if (record != nullptr) *record = made;
}

// Ends a launch that reports: called once by all threads of every block, after their last use of the ledger.
// The grid has one dimension and at most kMaxBlocks blocks.
__device__ inline void settle(Ledger* ledger, Record* record, const Gathered& gathered) {
  const double error = block_sum(gathered.error);
  const double signal = block_sum(gathered.signal);
  const unsigned largest = warp_max(__float_as_uint(gathered.max_error));
  if (threadIdx.x % 32 == 0 && largest != 0) atomicMax(&ledger->max_error, largest);
  __shared__ bool is_last;
  __syncthreads();
  if (threadIdx.x == 0) {
    ledger->errors[blockIdx.x] = error;
    ledger->signals[blockIdx.x] = signal;
    __threadfence();
    is_last = atomicAdd(&ledger->blocks_done, 1u) == gridDim.x - 1;
  }
  __syncthreads();
  if (!is_last) return;
  __threadfence();
  double all_errors = 0.0, all_signals = 0.0;
  for (unsigned i = threadIdx.x; i < gridDim.x; i += blockDim.x) {
    all_errors += __ldcg(&ledger->errors[i]);
    all_signals += __ldcg(&ledger->signals[i]);
  }
  all_errors = block_sum(all_errors);
  all_signals = block_sum(all_signals);
  if (threadIdx.x == 0) write_record(ledger, record, all_errors, all_signals);
}

}  // namespace octavo::cuda
