// Reading 8 values at a time and rounding 32 of them: what the nearest kernels are made of.
//
// The code is rint(w / s) of the IEEE quotient, but a division for each value would cost more than everything
// else. With r = fl(1/s) the product t = fl(w r) is within 1.6e-5 of w / s for |t| < 128, and the rounded
// quotient within 4e-6; so where t is further than 3e-5 from a tie both round to the same integer, and only
// the others (6 in 100,000) are divided. Adding and subtracting 1.5 x 2^23 rounds half to even and leaves the
// integer in the low bits.
#pragma once

#include "convert.cuh"

#include <cstddef>

namespace octavo::cuda {

constexpr float kNearTie = 0.5f - 3e-5f;
constexpr float kRoundingShift = 12582912.0f;

struct Bf16 {
  static constexpr int kBytes = 2;
};
struct F16 {
  static constexpr int kBytes = 2;
};
struct F32 {
  static constexpr int kBytes = 4;
};

// 8 consecutive values as they lie in memory.
template <typename Source>
struct Chunk {
  uint4 words[Source::kBytes / 2];
};

template <typename Source>
__device__ inline Chunk<Source> load_chunk(const std::byte* row, int column, int cols) {
  Chunk<Source> chunk;
  const uint4* at = reinterpret_cast<const uint4*>(row + static_cast<std::int64_t>(column) * Source::kBytes);
#pragma unroll
  for (int i = 0; i < Source::kBytes / 2; ++i)
    chunk.words[i] = column < cols ? __ldcs(at + i) : make_uint4(0, 0, 0, 0);
  return chunk;
}

__device__ inline void unpack(const Chunk<F32>& chunk, float* values) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    values[4 * i] = __uint_as_float(chunk.words[i].x);
    values[4 * i + 1] = __uint_as_float(chunk.words[i].y);
    values[4 * i + 2] = __uint_as_float(chunk.words[i].z);
    values[4 * i + 3] = __uint_as_float(chunk.words[i].w);
  }
}

__device__ inline void unpack(const Chunk<Bf16>& chunk, float* values) {
  const unsigned words[4] = {chunk.words[0].x, chunk.words[0].y, chunk.words[0].z, chunk.words[0].w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    values[2 * i] = __uint_as_float(words[i] << 16);
    values[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
  }
}

__device__ inline void unpack(const Chunk<F16>& chunk, float* values) {
  const unsigned words[4] = {chunk.words[0].x, chunk.words[0].y, chunk.words[0].z, chunk.words[0].w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {  // a NaN stays one, which is all that counts here
    const float2 pair = __half22float2(*reinterpret_cast<const __half2*>(&words[i]));
    values[2 * i] = pair.x;
    values[2 * i + 1] = pair.y;
  }
}

// The larger of a >= 0 and |b|; NaN if either is one.
__device__ inline float max_magnitude(float a, float b) {
#if __CUDA_ARCH__ >= 800
  float larger;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(larger) : "f"(a), "f"(fabsf(b)));
  return larger;
#else
  return __uint_as_float(max(__float_as_uint(a), magnitude_bits(b)));
#endif
}

// Values to codes: the stored value is code x scale.
struct Rounding {
  float scale;
  float inverse;  // factor / scale
  float factor;   // what a value is multiplied with, exactly, before it is divided by the scale
  float qmax;
};

// Sums of one thread over one row, in units of the scale.
struct RowSums {
  float error = 0.0f;
  float signal = 0.0f;
  float largest = 0.0f;
};

// The code of `value` in the low byte. kClamp: values may be beyond the range.
template <bool kClamp>
__device__ inline unsigned round_value(float value, const Rounding& rounding, RowSums& sums, float& tie) {
  const float t = __fmul_rn(value, rounding.inverse);
  const float bounded = kClamp ? fminf(fmaxf(t, -rounding.qmax), rounding.qmax) : t;
  const float shifted = __fadd_rn(bounded, kRoundingShift);
  const float code = __fadd_rn(shifted, -kRoundingShift);
  const float off = __fadd_rn(t, -code);
  sums.error = __fmaf_rn(off, off, sums.error);
  sums.signal = __fmaf_rn(t, t, sums.signal);
  sums.largest = fmaxf(sums.largest, fabsf(off));
  if (kClamp) tie = fmaxf(tie, fabsf(__fadd_rn(bounded, -code)));
  return __float_as_uint(shifted);
}

// The same with a division where the product is near a tie. Rare.
template <bool kClamp>
__device__ inline void divide_near_tie(float value, const Rounding& rounding, unsigned& word, int byte) {
  const float t = __fmul_rn(value, rounding.inverse);
  const float bounded = kClamp ? fminf(fmaxf(t, -rounding.qmax), rounding.qmax) : t;
  const float code = __fadd_rn(__fadd_rn(bounded, kRoundingShift), -kRoundingShift);
  if (fabsf(__fadd_rn(bounded, -code)) <= kNearTie) return;
  const float quotient = __fdiv_rn(__fmul_rn(value, rounding.factor), rounding.scale);
  const float within = kClamp ? fminf(fmaxf(quotient, -rounding.qmax), rounding.qmax) : quotient;
  const unsigned shifted = __float_as_uint(__fadd_rn(within, kRoundingShift));
  word = (word & ~(0xffu << (8 * byte))) | ((shifted & 0xffu) << (8 * byte));
}

__device__ inline unsigned pack_bytes(unsigned a, unsigned b, unsigned c, unsigned d) {
  return __byte_perm(__byte_perm(a, b, 0x0040), __byte_perm(c, d, 0x0040), 0x5410);
}

// 32 values to 8 words of 4 codes each.
template <bool kClamp>
__device__ inline void round_panel(const float (&x)[32], const Rounding& rounding, unsigned (&words)[8],
                                   RowSums& sums) {
  float tie = 0.0f;
  RowSums own;
#pragma unroll
  for (int w = 0; w < 8; ++w) {
    unsigned codes[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) codes[i] = round_value<kClamp>(x[4 * w + i], rounding, own, tie);
    words[w] = pack_bytes(codes[0], codes[1], codes[2], codes[3]);
  }
  sums.error += own.error;
  sums.signal += own.signal;
  sums.largest = fmaxf(sums.largest, own.largest);
  if ((kClamp ? tie : own.largest) <= kNearTie) return;
  Rounding again = rounding;
  asm volatile("" : "+f"(again.inverse));  // else the products above would be kept in 32 registers
#pragma unroll
  for (int i = 0; i < 32; ++i) divide_near_tie<kClamp>(x[i], again, words[i / 4], i % 4);
}

}  // namespace octavo::cuda
