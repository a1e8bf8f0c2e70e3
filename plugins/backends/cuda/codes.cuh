// One code: from the scaled value t = w / s to what is stored, and back. As the reference does it.
#pragma once

#include "codes.hpp"
#include "convert.cuh"

namespace octavo::cuda {

constexpr __device__ SmallFloat kE2m1{1, 1, 7};

__device__ inline float e2m1_value(int code) {  // 0, .5, 1, 1.5, 2, 3, 4, 6
  const int exponent = code >> 1, mantissa = code & 1;
  return exponent == 0 ? 0.5f * static_cast<float>(mantissa)
                       : static_cast<float>(2 + mantissa) * power_of_two(exponent - 2);
}

__device__ inline bool is_integer(const CodePlan& plan) {
  return plan.code == OCTAVO_CODE_INTEGER || plan.code == OCTAVO_CODE_INTEGER_ZERO;
}

__device__ inline float nearest_code(const CodePlan& plan, float t) {
  if (is_integer(plan)) return fminf(fmaxf(rintf(t), plan.lowest), plan.highest);
  const float clamped = fminf(fmaxf(t, -plan.limit), plan.limit);
  if (plan.code != OCTAVO_CODE_E2M1) return rounded_to(plan.dtype, clamped);
  return copysignf(e2m1_value(small_float_code(kE2m1, fabsf(clamped))), clamped);
}

__device__ inline void store_code(const CodePlan& plan, float code, void* codes, std::int64_t index) {
  switch (plan.dtype) {
    case OCTAVO_I8:
      static_cast<std::int8_t*>(codes)[index] = static_cast<std::int8_t>(static_cast<int>(code));
      return;
    case OCTAVO_I16:
      static_cast<std::int16_t*>(codes)[index] = static_cast<std::int16_t>(static_cast<int>(code));
      return;
    case OCTAVO_U8: {
      int bits = static_cast<int>(code);
      if (plan.code == OCTAVO_CODE_E2M1)
        bits = (__float_as_uint(code) >> 31 != 0 ? 8 : 0) | small_float_code(kE2m1, fabsf(code));
      static_cast<std::uint8_t*>(codes)[index] = static_cast<std::uint8_t>(bits);
      return;
    }
    default:
      store(code, plan.dtype, codes, index);
  }
}

__device__ inline float load_code(const CodePlan& plan, const void* codes, std::int64_t index) {
  switch (plan.dtype) {
    case OCTAVO_I8:
      return static_cast<float>(static_cast<const std::int8_t*>(codes)[index]);
    case OCTAVO_I16:
      return static_cast<float>(static_cast<const std::int16_t*>(codes)[index]);
    case OCTAVO_U8: {
      const int bits = static_cast<const std::uint8_t*>(codes)[index];
      if (plan.code != OCTAVO_CODE_E2M1) return static_cast<float>(bits);
      return copysignf(e2m1_value(bits & 7), (bits & 8) != 0 ? -1.0f : 1.0f);
    }
    default:
      return load(codes, plan.dtype, index);
  }
}

__device__ inline float load_zero_point(std::uint32_t dtype, const void* data, std::int64_t index) {
  switch (dtype) {
    case OCTAVO_I8:
      return static_cast<float>(static_cast<const std::int8_t*>(data)[index]);
    case OCTAVO_U8:
      return static_cast<float>(static_cast<const std::uint8_t*>(data)[index]);
    case OCTAVO_I16:
      return static_cast<float>(static_cast<const std::int16_t*>(data)[index]);
    case OCTAVO_I32:
      return static_cast<float>(static_cast<const std::int32_t*>(data)[index]);
    default:
      return load(data, dtype, index);
  }
}

__device__ inline void store_zero_point(float value, std::uint32_t dtype, void* data, std::int64_t index) {
  switch (dtype) {
    case OCTAVO_I8:
      static_cast<std::int8_t*>(data)[index] = static_cast<std::int8_t>(static_cast<int>(value));
      return;
    case OCTAVO_U8:
      static_cast<std::uint8_t*>(data)[index] = static_cast<std::uint8_t>(static_cast<int>(value));
      return;
    case OCTAVO_I16:
      static_cast<std::int16_t*>(data)[index] = static_cast<std::int16_t>(static_cast<int>(value));
      return;
    case OCTAVO_I32:
      static_cast<std::int32_t*>(data)[index] = static_cast<std::int32_t>(value);
      return;
    default:
      store(value, dtype, data, index);
  }
}

}  // namespace octavo::cuda
