// Float dtypes: reading any of them as f32, and rounding f32 to any of them, half to even.
#pragma once

#include <octavo/abi/tensor.h>

#include <cstdint>
#include <span>

namespace octavo::reference {

// A float with few bits and no NaN handling of its own: E4M3, E5M2 (also the FNUZ kinds) and E2M1.
struct SmallFloat {
  int mantissa_bits;
  int bias;
  int largest_code;  // of the finite codes without the sign
};

// Element `index` as f32. Exact, but for F64, which is rounded half to even (beyond f32: infinity).
float load(const void* data, std::uint32_t dtype, std::int64_t index);

// Row `row` of a rank 2 view as f32; what `target` has beyond the view's columns becomes 0.
void load_row(const octavo_tensor& view, std::int64_t row, std::span<float> target);

// Writes `value` rounded half to even. Beyond the dtype: infinity, or NaN where it has no infinity.
void store(float value, std::uint32_t dtype, void* data, std::int64_t index);

// `value` rounded to F32, BF16, F16 or an 8-bit float and read back.
float rounded_to(std::uint32_t dtype, float value);

// Largest finite value of a float dtype (as f32: F64 gives that of F32).
float largest_finite(std::uint32_t dtype);

// Code of a finite magnitude >= 0, half to even; may be larger than kind.largest_code on overflow.
int small_float_code(const SmallFloat& kind, float magnitude);

// The kind of an 8-bit float dtype, and of E2M1 (four bits).
SmallFloat small_float(std::uint32_t f8_dtype);
inline constexpr SmallFloat kE2m1{1, 1, 7};

// Bits of an 8-bit float. NaN stays NaN; overflow and infinity as in `store`.
std::uint8_t to_f8(float value, std::uint32_t dtype);

}  // namespace octavo::reference
