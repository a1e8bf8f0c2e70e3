// Float dtypes on the device: reading any of them as f32 and rounding f32 to any of them, half to even. The
// same bits as the host's reference, NaN payloads included.
#pragma once

#include <octavo/abi/tensor.h>

#include <cuda_fp16.h>

#include <cstdint>

namespace octavo::cuda {

constexpr unsigned kInfinityBits = 0x7f800000u;

__device__ inline unsigned magnitude_bits(float value) { return __float_as_uint(value) & 0x7fffffffu; }
__device__ inline bool is_finite(float value) { return magnitude_bits(value) < kInfinityBits; }
__device__ inline bool is_nan(float value) { return magnitude_bits(value) > kInfinityBits; }

__device__ inline float value_of_bf16(std::uint16_t bits) {
  return __uint_as_float(static_cast<unsigned>(bits) << 16);
}

__device__ inline float value_of_f16(std::uint16_t bits) {
  const float value = __half2float(__ushort_as_half(bits));
  if ((bits & 0x7fffu) <= 0x7c00u) return value;
  return __uint_as_float(((bits & 0x8000u) << 16) | kInfinityBits | ((bits & 0x3ffu) << 13));
}

// Beyond f32: infinity. A NaN keeps the upper part of its payload and becomes quiet.
__device__ inline float value_of_f64(double value) {
  const auto bits = static_cast<unsigned long long>(__double_as_longlong(value));
  if ((bits & 0x7fffffffffffffffull) <= 0x7ff0000000000000ull) return __double2float_rn(value);
  const auto sign = static_cast<unsigned>(bits >> 32) & 0x80000000u;
  return __uint_as_float(sign | 0x7fc00000u | (static_cast<unsigned>(bits >> 29) & 0x3fffffu));
}

__device__ inline double wide_value(float value) {
  if (!is_nan(value)) return static_cast<double>(value);
  const unsigned long long bits = __float_as_uint(value);
  return __longlong_as_double(static_cast<long long>(((bits & 0x80000000ull) << 32) | 0x7ff8000000000000ull |
                                                     ((bits & 0x7fffffull) << 29)));
}

// An 8-bit float without NaN handling of its own, and E2M1.
struct SmallFloat {
  int mantissa_bits;
  int bias;
  int largest_code;  // of the finite codes without the sign
};

__device__ inline SmallFloat small_float(std::uint32_t dtype) {
  switch (dtype) {
    case OCTAVO_F8_E5M2:
      return {2, 15, 0x7b};
    case OCTAVO_F8_E4M3FNUZ:
      return {3, 8, 0x7f};
    case OCTAVO_F8_E5M2FNUZ:
      return {2, 16, 0x7f};
    default:
      return {3, 7, 0x7e};
  }
}

__device__ inline bool is_fnuz(std::uint32_t dtype) {
  return dtype == OCTAVO_F8_E4M3FNUZ || dtype == OCTAVO_F8_E5M2FNUZ;
}

__device__ inline float power_of_two(int exponent) {  // -126 to 127
  return __uint_as_float(static_cast<unsigned>(exponent + 127) << 23);
}

__device__ inline float value_of_f8(std::uint8_t bits, std::uint32_t dtype) {
  const SmallFloat kind = small_float(dtype);
  const unsigned sign = (bits & 0x80u) << 24;
  const int magnitude = bits & 0x7f;
  if (is_fnuz(dtype)) {
    if (bits == 0x80) return __uint_as_float(0x7fc00000u);
  } else if (dtype == OCTAVO_F8_E5M2 && magnitude >= 0x7c) {
    return __uint_as_float(sign | (magnitude == 0x7c ? kInfinityBits : 0x7fc00000u));
  } else if (dtype == OCTAVO_F8_E4M3 && magnitude == 0x7f) {
    return __uint_as_float(sign | 0x7fc00000u);
  }
  const int exponent = magnitude >> kind.mantissa_bits;
  const int mantissa = magnitude & ((1 << kind.mantissa_bits) - 1);
  const int significand = exponent == 0 ? mantissa : mantissa + (1 << kind.mantissa_bits);
  const float unit = power_of_two((exponent == 0 ? 1 : exponent) - kind.bias - kind.mantissa_bits);
  return __uint_as_float(__float_as_uint(static_cast<float>(significand) * unit) | sign);
}

__device__ inline float value_of_e8m0(std::uint8_t bits) {
  if (bits == 0xff) return __uint_as_float(0x7fc00000u);
  return bits == 0 ? __uint_as_float(0x00400000u) : __uint_as_float(static_cast<unsigned>(bits) << 23);
}

__device__ inline float load(const void* data, std::uint32_t dtype, std::int64_t index) {
  switch (dtype) {
    case OCTAVO_F64:
      return value_of_f64(static_cast<const double*>(data)[index]);
    case OCTAVO_F32:
      return static_cast<const float*>(data)[index];
    case OCTAVO_BF16:
      return value_of_bf16(static_cast<const std::uint16_t*>(data)[index]);
    case OCTAVO_F16:
      return value_of_f16(static_cast<const std::uint16_t*>(data)[index]);
    case OCTAVO_F8_E8M0:
      return value_of_e8m0(static_cast<const std::uint8_t*>(data)[index]);
    default:
      return value_of_f8(static_cast<const std::uint8_t*>(data)[index], dtype);
  }
}

__device__ inline std::uint16_t bf16_of(float value) {
  const unsigned bits = __float_as_uint(value);
  if (is_nan(value)) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

__device__ inline std::uint16_t f16_of(float value) {
  const unsigned bits = __float_as_uint(value);
  if (is_nan(value))
    return static_cast<std::uint16_t>(((bits >> 16) & 0x8000u) | 0x7e00u | ((bits >> 13) & 0x3ffu));
  return __half_as_ushort(__float2half_rn(value));
}

// Code of a finite magnitude >= 0; may exceed kind.largest_code. The value is rounded to a whole number of
// steps of its binade; below the smallest normal the step stays, and a carry is the next binade's code.
__device__ inline int small_float_code(const SmallFloat& kind, float magnitude) {
  if (magnitude == 0.0f) return 0;
  const int smallest = 1 - kind.bias;
  const int own = static_cast<int>(__float_as_uint(magnitude) >> 23) - 127;  // of an f32 subnormal: too low
  const int exponent = own > smallest ? own : smallest;
  const float steps = rintf(magnitude * power_of_two(kind.mantissa_bits - exponent));
  return static_cast<int>(steps) + ((exponent - smallest) << kind.mantissa_bits);
}

__device__ inline std::uint8_t f8_of(float value, std::uint32_t dtype) {
  const SmallFloat kind = small_float(dtype);
  const int sign = static_cast<int>((__float_as_uint(value) >> 24) & 0x80u);
  const int beyond = is_fnuz(dtype) ? 0x80 : dtype == OCTAVO_F8_E5M2 ? sign | 0x7c : sign | 0x7f;
  if (is_nan(value)) return static_cast<std::uint8_t>(is_fnuz(dtype) ? 0x80 : sign | 0x7f);
  if (!is_finite(value)) return static_cast<std::uint8_t>(beyond);
  const int code = small_float_code(kind, fabsf(value));
  if (code > kind.largest_code) return static_cast<std::uint8_t>(beyond);
  if (is_fnuz(dtype) && code == 0) return 0;  // there is no negative zero
  return static_cast<std::uint8_t>(sign | code);
}

// Beyond the dtype: infinity, or NaN where it has none.
__device__ inline void store(float value, std::uint32_t dtype, void* data, std::int64_t index) {
  switch (dtype) {
    case OCTAVO_F64:
      static_cast<double*>(data)[index] = wide_value(value);
      return;
    case OCTAVO_F32:
      static_cast<float*>(data)[index] = value;
      return;
    case OCTAVO_BF16:
      static_cast<std::uint16_t*>(data)[index] = bf16_of(value);
      return;
    case OCTAVO_F16:
      static_cast<std::uint16_t*>(data)[index] = f16_of(value);
      return;
    default:
      static_cast<std::uint8_t*>(data)[index] = f8_of(value, dtype);
  }
}

// `value` rounded to a dtype and read back.
__device__ inline float rounded_to(std::uint32_t dtype, float value) {
  switch (dtype) {
    case OCTAVO_BF16:
      return value_of_bf16(bf16_of(value));
    case OCTAVO_F16:
      return value_of_f16(f16_of(value));
    case OCTAVO_F8_E4M3:
    case OCTAVO_F8_E5M2:
    case OCTAVO_F8_E4M3FNUZ:
    case OCTAVO_F8_E5M2FNUZ:
      return value_of_f8(f8_of(value, dtype), dtype);
    default:
      return value;
  }
}

__device__ inline float largest_finite(std::uint32_t dtype) {
  switch (dtype) {
    case OCTAVO_BF16:
      return value_of_bf16(0x7f7f);
    case OCTAVO_F16:
      return 65504.0f;
    case OCTAVO_F8_E4M3:
    case OCTAVO_F8_E5M2:
    case OCTAVO_F8_E4M3FNUZ:
    case OCTAVO_F8_E5M2FNUZ:
      return value_of_f8(static_cast<std::uint8_t>(small_float(dtype).largest_code), dtype);
    case OCTAVO_F8_E8M0:
      return power_of_two(127);
    default:
      return __uint_as_float(0x7f7fffffu);
  }
}

}  // namespace octavo::cuda
