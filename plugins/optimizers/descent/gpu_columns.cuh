// How the kernels walk a layer: a warp takes a row, a lane kVector neighbouring columns at a time.
#pragma once

#include "gpu_steps.hpp"

#include <cuda_fp16.h>

#include <type_traits>

namespace octavo::descent::gpu {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / 32;
constexpr int kVector = 8;  // neighbouring columns that a thread takes at a time
constexpr float kDistanceUnits = 64;

__device__ inline int lane() { return static_cast<int>(threadIdx.x % 32); }

// Which of all warps this is.
__device__ inline std::int64_t warp() { return (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) / 32; }

// In every lane the sum over the warp.
template <typename T>
__device__ inline T warp_sum(T value) {
  for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(~0u, value, distance);
  return value;
}

// How many of `count`s the lanes before this one have; `total` of the warp.
__device__ inline int warp_scan(int count, int& total) {
  int inclusive = count;
  for (int distance = 1; distance < 32; distance *= 2) {
    const int other = __shfl_up_sync(~0u, inclusive, distance);
    if (lane() >= distance) inclusive += other;
  }
  total = __shfl_sync(~0u, inclusive, 31);
  return inclusive - count;
}

// kVector neighbouring columns of a row. kAligned: all of them are there, and aligned, or none is.
template <bool kAligned>
struct Columns {
  std::int64_t first;
  int count;
};

constexpr std::int64_t kWarpColumns = 32 * kVector;

// This lane's of the kWarpColumns from `first` on. kAligned: cols is a multiple of kVector.
template <bool kAligned>
__device__ inline Columns<kAligned> columns_from(std::int64_t first, std::int64_t cols) {
  const std::int64_t mine = first + lane() * kVector;
  if (kAligned) return {mine, mine < cols ? kVector : 0};
  return {mine, static_cast<int>(max(min(std::int64_t{kVector}, cols - mine), std::int64_t{0}))};
}

template <bool kAligned, typename Body>
__device__ inline void for_columns(std::int64_t cols, Body body) {
#pragma unroll 4
  for (std::int64_t first = 0; first < cols; first += kWarpColumns) body(columns_from<kAligned>(first, cols));
}

// Values of kVector neighbours, 0 where there are none. _once: they will not be used again before others
// have taken their place in the caches, which the gradient is to stay in.
template <typename T>
struct Neighbours {
  using Word = std::conditional_t<sizeof(T) * kVector == 8, uint2, uint4>;
  static constexpr int kWords = sizeof(T) * kVector / sizeof(Word);

  alignas(sizeof(Word)) T at[kVector];

  template <bool kAligned>
  __device__ void read(const T* row, const Columns<kAligned>& columns) {
    take(row, columns, [](const Word* word) { return *word; });
  }
  template <bool kAligned>
  __device__ void read_once(const T* row, const Columns<kAligned>& columns) {
    take(row, columns, [](const Word* word) { return __ldcs(word); });
  }
  template <bool kAligned>
  __device__ void write(T* row, const Columns<kAligned>& columns) const {
    put(row, columns, [](Word* to, const Word& word) { *to = word; });
  }
  template <bool kAligned>
  __device__ void write_once(T* row, const Columns<kAligned>& columns) const {
    put(row, columns, [](Word* to, const Word& word) { __stcs(to, word); });
  }

 private:
  template <bool kAligned, typename Store>
  __device__ void put(T* row, const Columns<kAligned>& columns, Store store) const {
    T* const to = row + columns.first;
    if (!kAligned) {
      for (int i = 0; i < kVector; ++i) {
        if (i < columns.count) to[i] = at[i];
      }
    } else if (columns.count > 0) {
#pragma unroll
      for (int i = 0; i < kWords; ++i)
        store(reinterpret_cast<Word*>(to) + i, reinterpret_cast<const Word*>(at)[i]);
    }
  }
  template <bool kAligned, typename Load>
  __device__ void take(const T* row, const Columns<kAligned>& columns, Load load) {
    const T* const from = row + columns.first;
    if (!kAligned) {
      for (int i = 0; i < kVector; ++i) at[i] = i < columns.count ? from[i] : T{};
    } else {
#pragma unroll
      for (int i = 0; i < kWords; ++i)
        reinterpret_cast<Word*>(at)[i] =
            columns.count > 0 ? load(reinterpret_cast<const Word*>(from) + i) : Word{};
    }
  }
};

__device__ inline float to_float(std::uint16_t half) { return __half2float(__ushort_as_half(half)); }
__device__ inline std::uint16_t to_half(float value) { return __half_as_ushort(__float2half_rn(value)); }

__device__ inline std::int8_t to_distance(float distance) {
  return static_cast<std::int8_t>(rintf(fminf(fmaxf(distance * kDistanceUnits, -127.0f), 127.0f)));
}

__device__ inline float at_element(const float* values, const Layer& layer, std::int64_t row,
                                   std::int64_t col) {
  return values[row * layer.scale_row + col * layer.scale_col];
}

// A Weyl sequence over elements, which leaves no pattern in rows or columns, begun anew in each iteration.
__device__ inline bool in_share(std::int64_t element, std::int64_t iteration, double share) {
  constexpr double kElement = 0.7548776662466927, kIteration = 0.5698402909980532;
  const double place = static_cast<double>(element) * kElement + static_cast<double>(iteration) * kIteration;
  return place - trunc(place) < share;
}

inline unsigned blocks_for(std::int64_t rows) { return static_cast<unsigned>((rows + kWarps - 1) / kWarps); }
inline bool is_aligned(const Layer& layer) { return layer.cols % kVector == 0; }

inline cudaStream_t stream_of(const Layer& layer) { return static_cast<cudaStream_t>(layer.stream); }

}  // namespace octavo::descent::gpu
