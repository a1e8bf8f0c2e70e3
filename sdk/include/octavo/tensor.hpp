// SPDX-License-Identifier: Apache-2.0
// Tensor views for C++: building them, typed access, element sizes, and exact decoding of small floats.
#pragma once

#include <octavo/abi/tensor.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

namespace octavo {

constexpr int bits_of(std::uint32_t dtype) {
  constexpr int bits[OCTAVO_DTYPE_COUNT] = {8,  4,  6,  6,  8,  8,  8,  8,  8,  8,  8,
                                            16, 16, 16, 16, 32, 32, 32, 64, 64, 64, 64};
  return dtype < OCTAVO_DTYPE_COUNT ? bits[dtype] : 0;
}

// Bytes of one element; 0 for the dtypes below a byte.
constexpr std::size_t bytes_of(std::uint32_t dtype) { return static_cast<std::size_t>(bits_of(dtype)) / 8; }

// Float dtypes that a layer's weight may have.
constexpr bool is_weight_dtype(std::uint32_t dtype) {
  switch (dtype) {
    case OCTAVO_F64:
    case OCTAVO_F32:
    case OCTAVO_F16:
    case OCTAVO_BF16:
    case OCTAVO_F8_E4M3:
    case OCTAVO_F8_E5M2:
    case OCTAVO_F8_E4M3FNUZ:
    case OCTAVO_F8_E5M2FNUZ:
      return true;
    default:
      return false;
  }
}

// A packed row-major view of host memory.
inline octavo_tensor tensor_view(void* data, std::uint32_t dtype, std::initializer_list<std::int64_t> shape) {
  octavo_tensor view{};
  view.struct_size = sizeof view;
  view.dtype = dtype;
  view.memory = OCTAVO_MEMORY_HOST;
  view.device = -1;
  view.data = data;
  std::int64_t stride = 1;
  for (const std::int64_t dimension : shape) {
    view.shape[view.rank++] = dimension;
    if (view.rank > 1) stride *= dimension;
  }
  view.row_stride = stride;
  return view;
}

// Row `row` of a rank 2 view (or the start of a vector, row 0).
template <typename T>
T* row_of(const octavo_tensor& view, std::int64_t row) {
  return static_cast<T*>(view.data) + row * view.row_stride;
}

// f32 of a bf16 and an f16 bit pattern. Exact; NaN payloads are kept as far as they fit.
inline float from_bf16(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

inline float from_f16(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000u) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1fu;
  const std::uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 0) {  // zero or subnormal: mantissa x 2^-24, exact in f32
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(magnitude) | sign);
  }
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

// Half to even. to_f16: values beyond 65504 + half a step become infinity; NaN stays NaN.
inline std::uint16_t to_bf16(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

inline std::uint16_t to_f16(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u)
    return static_cast<std::uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
  if (magnitude >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);  // >= 65520
  if (magnitude < 0x38800000u) {  // below 2^-14: adding 0.5 leaves the subnormal's integer in the low bits
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000u));
  }
  const std::uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u;
  return static_cast<std::uint16_t>(sign | (rounded >> 13));
}

// f32 of an 8-bit float of one of four dtypes. FNUZ: bias one higher, 0x80 is the only NaN, no infinities.
// E4M3 has no infinities: 0x7f and 0xff are NaN.
inline float from_f8(std::uint8_t bits, std::uint32_t dtype) {
  const bool wide_exponent = dtype == OCTAVO_F8_E5M2 || dtype == OCTAVO_F8_E5M2FNUZ;
  const bool fnuz = dtype == OCTAVO_F8_E4M3FNUZ || dtype == OCTAVO_F8_E5M2FNUZ;
  const int mantissa_bits = wide_exponent ? 2 : 3;
  const int bias = (wide_exponent ? 15 : 7) + (fnuz ? 1 : 0);
  const std::uint32_t sign = (bits & 0x80u) << 24;
  const int exponent = (bits & 0x7f) >> mantissa_bits;
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  constexpr std::uint32_t kNan = 0x7fc00000u;
  if (fnuz && bits == 0x80) return std::bit_cast<float>(kNan);
  if (dtype == OCTAVO_F8_E4M3 && (bits & 0x7f) == 0x7f) return std::bit_cast<float>(sign | kNan);
  if (dtype == OCTAVO_F8_E5M2 && exponent == 31) {
    return std::bit_cast<float>(sign | (mantissa == 0 ? 0x7f800000u : kNan));
  }
  // (1.mantissa or 0.mantissa) x 2^(exponent - bias), as an integer times a power of two: exact.
  const int significand = exponent == 0 ? mantissa : mantissa + (1 << mantissa_bits);
  const int power = (exponent == 0 ? 1 : exponent) - bias - mantissa_bits;
  const float scale = std::bit_cast<float>(static_cast<std::uint32_t>(power + 127) << 23);
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(static_cast<float>(significand) * scale) | sign);
}

}  // namespace octavo
