#include "reference/convert.hpp"

#include <octavo/tensor.hpp>

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cmath>

namespace octavo::reference {

float load(const void* data, std::uint32_t dtype, std::int64_t index) {
  switch (dtype) {
    case OCTAVO_F64:
      return static_cast<float>(static_cast<const double*>(data)[index]);
    case OCTAVO_F32:
      return static_cast<const float*>(data)[index];
    case OCTAVO_BF16:
      return from_bf16(static_cast<const std::uint16_t*>(data)[index]);
    case OCTAVO_F16:
      return from_f16(static_cast<const std::uint16_t*>(data)[index]);
    case OCTAVO_F8_E8M0: {
      const std::uint8_t exponent = static_cast<const std::uint8_t*>(data)[index];
      return exponent == 0xff ? std::bit_cast<float>(0x7fc00000u) : std::ldexp(1.0f, exponent - 127);
    }
    default:
      return from_f8(static_cast<const std::uint8_t*>(data)[index], dtype);
  }
}

void load_row(const octavo_tensor& view, std::int64_t row, std::span<float> target) {
  const std::int64_t cols = view.rank > 1 ? view.shape[1] : 1;
  const std::int64_t start = row * view.row_stride;
  for (std::int64_t c = 0; c < static_cast<std::int64_t>(target.size()); ++c)
    target[static_cast<std::size_t>(c)] = c < cols ? load(view.data, view.dtype, start + c) : 0.0f;
}

void store(float value, std::uint32_t dtype, void* data, std::int64_t index) {
  switch (dtype) {
    case OCTAVO_F64:
      static_cast<double*>(data)[index] = static_cast<double>(value);
      return;
    case OCTAVO_F32:
      static_cast<float*>(data)[index] = value;
      return;
    case OCTAVO_BF16:
      static_cast<std::uint16_t*>(data)[index] = to_bf16(value);
      return;
    case OCTAVO_F16:
      static_cast<std::uint16_t*>(data)[index] = to_f16(value);
      return;
    default:
      static_cast<std::uint8_t*>(data)[index] = to_f8(value, dtype);
  }
}

float rounded_to(std::uint32_t dtype, float value) {
  switch (dtype) {
    case OCTAVO_BF16:
      return from_bf16(to_bf16(value));
    case OCTAVO_F16:
      return from_f16(to_f16(value));
    case OCTAVO_F8_E4M3:
    case OCTAVO_F8_E5M2:
    case OCTAVO_F8_E4M3FNUZ:
    case OCTAVO_F8_E5M2FNUZ:
      return from_f8(to_f8(value, dtype), dtype);
    default:
      return value;
  }
}

float largest_finite(std::uint32_t dtype) {
  switch (dtype) {
    case OCTAVO_BF16:
      return from_bf16(0x7f7f);
    case OCTAVO_F16:
      return 65504.0f;
    case OCTAVO_F8_E4M3:
    case OCTAVO_F8_E5M2:
    case OCTAVO_F8_E4M3FNUZ:
    case OCTAVO_F8_E5M2FNUZ:
      return from_f8(static_cast<std::uint8_t>(small_float(dtype).largest_code), dtype);
    case OCTAVO_F8_E8M0:
      return 0x1p127f;
    default:
      return FLT_MAX;
  }
}

SmallFloat small_float(std::uint32_t f8_dtype) {
  switch (f8_dtype) {
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

// The value is rounded to a whole number of steps of its binade. Below the smallest normal the step stays,
// so subnormals need no case of their own, and a carry into the next binade is the next code.
int small_float_code(const SmallFloat& kind, float magnitude) {
  if (magnitude == 0.0f) return 0;
  const int smallest = 1 - kind.bias;
  const int exponent = std::max(std::ilogb(magnitude), smallest);
  const double steps = std::nearbyint(std::ldexp(double{magnitude}, kind.mantissa_bits - exponent));
  return static_cast<int>(steps) + ((exponent - smallest) << kind.mantissa_bits);
}

std::uint8_t to_f8(float value, std::uint32_t dtype) {
  const SmallFloat kind = small_float(dtype);
  const bool fnuz = dtype == OCTAVO_F8_E4M3FNUZ || dtype == OCTAVO_F8_E5M2FNUZ;
  const int sign = std::signbit(value) ? 0x80 : 0;
  const int beyond = fnuz ? 0x80 : dtype == OCTAVO_F8_E5M2 ? sign | 0x7c : sign | 0x7f;
  if (std::isnan(value)) return static_cast<std::uint8_t>(fnuz ? 0x80 : sign | 0x7f);
  if (std::isinf(value)) return static_cast<std::uint8_t>(beyond);
  const int code = small_float_code(kind, std::fabs(value));
  if (code > kind.largest_code) return static_cast<std::uint8_t>(beyond);
  if (fnuz && code == 0) return 0;  // there is no negative zero
  return static_cast<std::uint8_t>(sign | code);
}

}  // namespace octavo::reference
