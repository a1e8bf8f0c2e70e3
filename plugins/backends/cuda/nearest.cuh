// Reading 8 values at a time and rounding 32 of them: what the nearest kernels are made of.
//
// The code is rint(w / s) of the IEEE quotient, but a division for each value would cost more than everything
// else. There are two ways round it, both with r = fl(1/s); adding and subtracting 1.5 x 2^23 rounds half to
// even and leaves the integer in the low bits.
//
// Checked: w r is within 1.2e-5 of w / s for |w / s| < 128. So where w r is further than that from a tie,
// both round to the same integer, and only the others (3 in 100,000 of rotated values) are divided. But bf16
// and f16 values as they are stored often are half their row's largest, and 63.5 is a tie.
//
// Corrected: with t = fl(w r) and the exact rest e = w - t s, t' = fl(t + e r) is fl(x) of an x within 2^-22
// units in the last place of w / s. So rint(t') can only differ from rint of the IEEE quotient where w / s is
// that close to the middle between a tie h = k + 1/2 and its neighbour, that is to s (h +- ulp(h)/2) =
// S (H +- 1) 2^n with the significand S of s (24 bits) and an H that is a multiple of 2^17, as h < 128. The
// significand of w has 24 bits too, so S (H +- 1) then lies within 5 of a multiple of 2^23, hence S within 5
// of a multiple of 2^17. With such scales (1 in 8,000) values near a tie are divided.
#pragma once

#include "convert.cuh"

#include <cstddef>

namespace octavo::cuda {

constexpr float kNearTie = 0.5f - 1.3e-5f;
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

// Zeros where there is nothing to read. kOnce: no other load reads from the same sectors.
template <typename Source, bool kOnce = true>
__device__ inline Chunk<Source> load_chunk(const std::byte* data, bool is_there) {
  Chunk<Source> chunk;
  const uint4* at = reinterpret_cast<const uint4*>(data);
#pragma unroll
  for (int i = 0; i < Source::kBytes / 2; ++i)
    chunk.words[i] = is_there ? (kOnce ? __ldcs(at + i) : at[i]) : make_uint4(0, 0, 0, 0);
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

// The largest of three floats >= 0 or NaN, given as their bits.
__device__ inline unsigned max_bits(unsigned a, float b, float c) {
  return __vimax3_u32(a, __float_as_uint(b), __float_as_uint(c));
}

__device__ inline float largest_of(const float (&x)[32]) {
  unsigned largest[2] = {};  // two chains: each step depends on the one before
#pragma unroll
  for (int i = 0; i < 32; i += 4) {
    largest[i / 4 % 2] = max_bits(largest[i / 4 % 2], max_magnitude(fabsf(x[i]), x[i + 1]),
                                  max_magnitude(fabsf(x[i + 2]), x[i + 3]));
  }
  return __uint_as_float(max(largest[0], largest[1]));
}

template <typename Source>
__device__ inline void unpack_panel(const Chunk<Source> (&chunks)[4], float (&x)[32]) {
#pragma unroll
  for (int c = 0; c < 4; ++c) unpack(chunks[c], x + 8 * c);
}

// The larger of the two magnitudes of each of two pairs of 16-bit values; NaN where one is.
template <typename Source>
__device__ inline unsigned max_pair(unsigned a, unsigned b);
#if __CUDA_ARCH__ >= 800
template <>
__device__ inline unsigned max_pair<Bf16>(unsigned a, unsigned b) {
  unsigned larger;
  asm("{ .reg .b32 m; abs.bf16x2 m, %2; max.NaN.bf16x2 %0, %1, m; }" : "=r"(larger) : "r"(a), "r"(b));
  return larger;
}
template <>
__device__ inline unsigned max_pair<F16>(unsigned a, unsigned b) {
  unsigned larger;
  asm("{ .reg .b32 m; abs.f16x2 m, %2; max.NaN.f16x2 %0, %1, m; }" : "=r"(larger) : "r"(a), "r"(b));
  return larger;
}
#endif

// Without unpacking them where the GPU compares two 16-bit values at a time.
template <typename Source>
__device__ inline float largest_of(const Chunk<Source> (&chunks)[4]) {
#if __CUDA_ARCH__ >= 800
  if constexpr (Source::kBytes == 2) {
    Chunk<Source> largest{};
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      largest.words[0].x = max_pair<Source>(largest.words[0].x, chunks[c].words[0].x);
      largest.words[0].y = max_pair<Source>(largest.words[0].y, chunks[c].words[0].y);
      largest.words[0].z = max_pair<Source>(largest.words[0].z, chunks[c].words[0].z);
      largest.words[0].w = max_pair<Source>(largest.words[0].w, chunks[c].words[0].w);
    }
    largest.words[0].x = max_pair<Source>(max_pair<Source>(largest.words[0].x, largest.words[0].y),
                                          max_pair<Source>(largest.words[0].z, largest.words[0].w));
    float values[8];
    unpack(largest, values);
    return max_magnitude(values[0], values[1]);
  }
#endif
  float x[32];
  unpack_panel(chunks, x);
  return largest_of(x);
}

// Makes value i of the 8 zero.
template <typename Source>
__device__ inline void clear_value(Chunk<Source>& chunk, int i) {
  unsigned* words = reinterpret_cast<unsigned*>(chunk.words);
  if (Source::kBytes == 4)
    words[i] = 0;
  else
    words[i / 2] &= i % 2 == 0 ? 0xffff0000u : 0x0000ffffu;
}

// Values to codes: the stored value is code x scale. A value is given times `1 / factor`, an exact power
// of 2.
struct Rounding {
  float scale;    // over the factor
  float inverse;  // of `scale`
  float qmax;
  bool is_awkward;  // for corrected quotients
};

// a / b as IEEE rounds it where that is a normal number, for a whole b from 1 to 127 and `inverse` = fl(1 /
// b): tried with every significand of a.
__device__ inline float divide_by_whole(float a, float b, float inverse) {
  const float quotient = __fmul_rn(a, inverse);
  return __fmaf_rn(__fmaf_rn(-quotient, b, a), inverse, quotient);
}

// fl(1 / value) where both are normal: __frcp_rn without its way for others.
__device__ inline float normal_reciprocal(float value) {
  float estimate;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(estimate) : "f"(value));
  return __fmaf_rn(estimate, __fmaf_rn(-value, estimate, 1.0f), estimate);
}

// `root` is 1 / factor. kNormal: the scale and its reciprocal are normal numbers.
template <bool kNormal = false>
__device__ inline Rounding rounding_for(float scale, float factor, float root, float qmax) {
  const unsigned low_bits = (__float_as_uint(scale) + 8u) & 0x1ffffu;
  const float inverse = kNormal ? normal_reciprocal(scale) : __frcp_rn(scale);
  return {__fmul_rn(scale, root), __fmul_rn(inverse, factor), qmax, low_bits <= 16u};
}

// Sums of one thread over one row, in units of the scale; with kChecked the signal in units of the values.
struct RowSums {
  float error = 0.0f;
  float signal = 0.0f;
  float largest = 0.0f;
};

template <bool kClamp>
__device__ inline float bounded(float t, float limit) {
  return kClamp ? fminf(fmaxf(t, -limit), limit) : t;
}

// w / s, corrected. kClamp: values may be beyond the codes' range.
template <bool kClamp>
__device__ inline float quotient_of(float value, const Rounding& rounding) {
  const float t = bounded<kClamp>(__fmul_rn(value, rounding.inverse), rounding.qmax + 1.0f);
  const float rest = __fmaf_rn(-t, rounding.scale, value);
  return __fmaf_rn(rest, rounding.inverse, t);
}

// The code of `value` in the low byte, by a corrected quotient; and how far the quotient is from it.
template <bool kClamp>
__device__ inline unsigned round_corrected(float value, const Rounding& rounding, float& off, RowSums& sums) {
  const float t = quotient_of<kClamp>(value, rounding);
  const float shifted = __fadd_rn(bounded<kClamp>(t, rounding.qmax), kRoundingShift);
  off = __fadd_rn(t, -__fadd_rn(shifted, -kRoundingShift));
  sums.error = __fmaf_rn(off, off, sums.error);
  sums.signal = __fmaf_rn(t, t, sums.signal);
  return __float_as_uint(shifted);
}

// The same by the product, which is exact but for one rounding; |value| <= qmax x scale.
__device__ inline unsigned round_product(float value, const Rounding& rounding, float& off, RowSums& sums) {
  const float shifted = __fmaf_rn(value, rounding.inverse, kRoundingShift);
  off = __fmaf_rn(value, rounding.inverse, -__fadd_rn(shifted, -kRoundingShift));
  sums.error = __fmaf_rn(off, off, sums.error);
  sums.signal = __fmaf_rn(value, value, sums.signal);
  return __float_as_uint(shifted);
}

// 32 codes in 8 words.
struct CodeWords {
  unsigned words[8];

  // Codes 4 w to 4 w + 3, two in the low bytes of each.
  __device__ void put(int w, unsigned low, unsigned high) { words[w] = __byte_perm(low, high, 0x5410); }
  __device__ void replace(int i, unsigned code) {
    const int shift = i % 4 * 8;
    words[i / 4] = (words[i / 4] & ~(0xffu << shift)) | ((code & 0xffu) << shift);
  }
};

// Puts the code of x[i] right by a division where the quotient is near a tie.
template <bool kClamp, typename Codes>
__device__ inline void divide_near_tie(float value, const Rounding& rounding, Codes& codes, int i) {
  const float t = bounded<kClamp>(quotient_of<kClamp>(value, rounding), rounding.qmax);
  const float code = __fadd_rn(__fadd_rn(t, kRoundingShift), -kRoundingShift);
  if (fabsf(__fadd_rn(t, -code)) <= kNearTie) return;
  const float exact = bounded<kClamp>(__fdiv_rn(value, rounding.scale), rounding.qmax);
  codes.replace(i, __float_as_uint(__fadd_rn(exact, kRoundingShift)));
}

// The codes of 32 values, to a CodeWords or what has its functions. kChecked: by products, else by corrected
// quotients.
template <bool kClamp, bool kChecked, typename Codes>
__device__ inline void round_panel(const float (&x)[32], const Rounding& rounding, Codes& codes,
                                   RowSums& sums) {
  static_assert(!kChecked || !kClamp);
  RowSums own[2];  // two chains
  unsigned largest[2] = {};
#pragma unroll
  for (int w = 0; w < 8; ++w) {
    unsigned shifted[4];
    float off[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      shifted[i] = kChecked ? round_product(x[4 * w + i], rounding, off[i], own[i % 2])
                            : round_corrected<kClamp>(x[4 * w + i], rounding, off[i], own[i % 2]);
    }
    codes.put(w, __byte_perm(shifted[0], shifted[1], 0x0040), __byte_perm(shifted[2], shifted[3], 0x0040));
    largest[w % 2] =
        max_bits(largest[w % 2], fmaxf(fabsf(off[0]), fabsf(off[1])), fmaxf(fabsf(off[2]), fabsf(off[3])));
  }
  sums = {own[0].error + own[1].error, own[0].signal + own[1].signal,
          __uint_as_float(max(largest[0], largest[1]))};
  if (kChecked ? sums.largest <= kNearTie : !rounding.is_awkward) return;
  Rounding again = rounding;
  asm volatile("" : "+f"(again.inverse));  // else the quotients above would be kept in 32 registers
#pragma unroll
  for (int i = 0; i < 32; ++i) divide_near_tie<kClamp>(x[i], again, codes, i);
}

}  // namespace octavo::cuda
