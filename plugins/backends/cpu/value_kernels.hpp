// Kernels that turn values into values: decoding, casting, codes times a scale, sums of differences. `count`
// is any number; sources of F32, BF16 and F16 are read in place. Compiled once per instruction set.
#pragma once

#include "targets.hpp"

#include <cstddef>
#include <cstdint>

namespace octavo::cpu {

struct CastSums {
  float error;              // sum of ((stored - value) x factor)^2
  float signal;             // sum of (value x factor)^2
  float largest;            // |stored - value|
  std::int64_t underflows;  // values that are not 0 and were stored as 0
};

struct DifferenceSums {
  double error;   // sum of (a - b)^2
  double signal;  // sum of a^2
  float largest;  // |a - b|
};

struct ValueKernels {
  // F64 or an 8-bit float to F32. NaN stays NaN.
  void (*decode)(const void* values, std::uint32_t dtype, std::size_t count, float* target);
  // F32, BF16 or F16 (finite, and nothing that overflows) to one of these, half to even.
  CastSums (*cast)(const void* values, std::uint32_t dtype, std::size_t count, float factor, void* target,
                   std::uint32_t target_dtype);
  // target = codes x scale.
  void (*scale_codes)(const std::int8_t* codes, std::size_t count, float scale, float* target);
  // a and b: F32, BF16 or F16.
  DifferenceSums (*differences)(const void* a, std::uint32_t a_dtype, const void* b, std::uint32_t b_dtype,
                                std::size_t count);
};

// nullptr for Simd::scalar.
const ValueKernels* value_kernels(Simd simd);

}  // namespace octavo::cpu
