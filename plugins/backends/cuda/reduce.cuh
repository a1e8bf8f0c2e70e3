// What a block reports: sums, largest values and counts.
//
// Sums are added up in an order that depends on the launch's grid alone: each thread its elements, each block
// its threads, and the block that finishes last the blocks. Counts and maxima need no order: threads tally
// them in the block's shared memory, most of them in cases that hardly ever happen. The last block writes
// what all have found into pinned host memory.
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

// Adds up what the threads of the block have gathered and tallied; the record is thread 0's.
__device__ inline Record block_record(Tally& tally, const Gathered& gathered) {
  const unsigned largest = warp_max(__float_as_uint(gathered.max_error));
  if (threadIdx.x % 32 == 0 && largest != 0) atomicMax(&tally.max_error, largest);
  Record made;
  made.error_sum = block_sum(gathered.error);  // orders the notes before what follows
  made.signal_sum = block_sum(gathered.signal);
  made.first = tally.first == kNoIndex ? -1 : static_cast<long long>(tally.first);
  made.max_error = __uint_as_float(tally.max_error);
  made.absmax = __uint_as_float(tally.absmax);
  made.nonfinite = tally.nonfinite;
  made.overflow = tally.overflow;
  made.underflow = tally.underflow;
  made.floored = tally.floored;
  return made;
}

// From the L2 cache, where the other blocks have written it.
__device__ inline Record read_record(const Record& record) {
  static_assert(sizeof(Record) == 3 * sizeof(uint4));
  union Raw {
    uint4 words[3];
    Record record;
    __device__ Raw() : words{} {}
  } raw;
  const uint4* at = reinterpret_cast<const uint4*>(&record);
  for (int i = 0; i < 3; ++i) raw.words[i] = __ldcg(at + i);
  return raw.record;
}

// Notes and gathers what a block has reported.
__device__ inline void take_record(const Record& record, Tally& tally, Gathered& gathered) {
  gathered.error += record.error_sum;
  gathered.signal += record.signal_sum;
  gathered.max_error = fmaxf(gathered.max_error, record.max_error);
  if (record.absmax > 0.0f) atomicMax(&tally.absmax, __float_as_uint(record.absmax));
  if (record.first >= 0) atomicMin(&tally.first, static_cast<unsigned long long>(record.first));
  note_count(tally.nonfinite, record.nonfinite);
  note_count(tally.overflow, record.overflow);
  note_count(tally.underflow, record.underflow);
  note_count(tally.floored, record.floored);
}

// Ends a launch that reports: called once by all threads of every block, after the last note. The grid has
// one dimension and at most kMaxBlocks blocks. `out` is nullptr where nobody asks.
__device__ inline void settle(Tally& tally, Board* board, Record* out, const Gathered& gathered) {
  if (out == nullptr) return;
  __shared__ bool is_last;
  const Record own = block_record(tally, gathered);
  if (threadIdx.x == 0) {
    board->records[blockIdx.x] = own;
    __threadfence();
    is_last = atomicInc(&board->done, gridDim.x - 1) == gridDim.x - 1;  // back to 0 with the last one
  }
  __syncthreads();
  if (!is_last) return;
  __threadfence();
  open_tally(tally);
  Gathered all;
  for (unsigned i = threadIdx.x; i < gridDim.x; i += blockDim.x)
    take_record(read_record(board->records[i]), tally, all);
  const Record whole = block_record(tally, all);
  if (threadIdx.x == 0) *out = whole;
}

}  // namespace octavo::cuda
