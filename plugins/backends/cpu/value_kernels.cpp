// Values to values, one vector at a time; what is left of a row goes through a padded copy.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "value_kernels.cpp"
#include "targets.hpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include "value_kernels.hpp"

#include "source-inl.h"
#include "target-inl.h"

#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace octavo::cpu::HWY_NAMESPACE {
#if OCTAVO_CPU_KERNEL_TARGET

// ---- decoding

// An 8-bit float: f32 of a normal magnitude is its bits moved into place and rebiased, of a subnormal one its
// mantissa times a power of two.
template <std::uint32_t kDtype>
HWY_INLINE VF from_f8_bits(VI bits) {
  constexpr bool kWide = kDtype == OCTAVO_F8_E5M2 || kDtype == OCTAVO_F8_E5M2FNUZ;
  constexpr bool kFnuz = kDtype == OCTAVO_F8_E4M3FNUZ || kDtype == OCTAVO_F8_E5M2FNUZ;
  constexpr int kMantissa = kWide ? 2 : 3;
  constexpr int kBias = (kWide ? 15 : 7) + (kFnuz ? 1 : 0);
  const DF d;
  const DI di;
  const VI magnitude = hn::And(bits, hn::Set(di, 0x7f));
  const VF normal =
      hn::BitCast(d, hn::Add(hn::ShiftLeft<23 - kMantissa>(magnitude), hn::Set(di, (127 - kBias) << 23)));
  constexpr float kStep = 1.0f / static_cast<float>(1 << (kBias + kMantissa - 1));
  const VF subnormal = hn::Mul(hn::ConvertTo(d, magnitude), hn::Set(d, kStep));
  const auto is_subnormal = hn::Lt(magnitude, hn::Set(di, 1 << kMantissa));
  VF value = hn::IfThenElse(hn::RebindMask(d, is_subnormal), subnormal, normal);
  if (kFnuz || kDtype == OCTAVO_F8_E4M3) {
    const auto is_nan = kFnuz ? hn::Eq(bits, hn::Set(di, 0x80)) : hn::Eq(magnitude, hn::Set(di, 0x7f));
    value = hn::IfThenElse(hn::RebindMask(d, is_nan), hn::BitCast(d, hn::Set(di, 0x7fc00000)), value);
  } else {
    const VI special = hn::Or(hn::Set(di, 0x7f800000), hn::ShiftLeft<21>(hn::And(bits, hn::Set(di, 3))));
    const auto is_special = hn::Gt(magnitude, hn::Set(di, 0x7b));
    value = hn::IfThenElse(hn::RebindMask(d, is_special), hn::BitCast(d, special), value);
  }
  const VI sign = hn::ShiftLeft<24>(hn::And(bits, hn::Set(di, 0x80)));
  return hn::Or(value, hn::BitCast(d, sign));
}

template <std::uint32_t kDtype>
void decode_f8(const std::uint8_t* values, std::size_t count, float* target) {
  const DF d;
  const hn::Rebind<std::uint8_t, DF> du8;
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    hn::StoreU(from_f8_bits<kDtype>(hn::PromoteTo(DI(), hn::LoadU(du8, values + i))), d, target + i);
  if (i == count) return;
  HWY_ALIGN std::uint8_t rest[kLanes] = {};
  HWY_ALIGN float decoded[kLanes];
  std::memcpy(rest, values + i, count - i);
  hn::Store(from_f8_bits<kDtype>(hn::PromoteTo(DI(), hn::Load(du8, rest))), d, decoded);
  std::memcpy(target + i, decoded, (count - i) * sizeof(float));
}

void decode_f64(const double* values, std::size_t count, float* target) {
  const hn::ScalableTag<double> dd;
  const hn::Rebind<float, decltype(dd)> half;
  constexpr std::size_t kDoubles = kLanes / 2;
  std::size_t i = 0;
  for (; i + kDoubles <= count; i += kDoubles)
    hn::StoreU(hn::DemoteTo(half, hn::LoadU(dd, values + i)), half, target + i);
  for (; i < count; ++i) target[i] = static_cast<float>(values[i]);
}

void decode(const void* values, std::uint32_t dtype, std::size_t count, float* target) {
  const std::uint8_t* bytes = static_cast<const std::uint8_t*>(values);
  if (dtype == OCTAVO_F64)
    decode_f64(static_cast<const double*>(values), count, target);
  else if (dtype == OCTAVO_F8_E4M3)
    decode_f8<OCTAVO_F8_E4M3>(bytes, count, target);
  else if (dtype == OCTAVO_F8_E5M2)
    decode_f8<OCTAVO_F8_E5M2>(bytes, count, target);
  else if (dtype == OCTAVO_F8_E4M3FNUZ)
    decode_f8<OCTAVO_F8_E4M3FNUZ>(bytes, count, target);
  else
    decode_f8<OCTAVO_F8_E5M2FNUZ>(bytes, count, target);
}

// ---- casting

struct CastState {
  VF factor, error, signal, largest;
  std::int64_t underflows;
};

template <typename Target, typename Value>
HWY_INLINE void cast_vector(const Value* from, typename Target::Element* to, CastState& state) {
  const DF d;
  const VF value = load_straight(from);
  const VF stored = Target::store(value, to);
  const VF error = hn::Sub(stored, value);
  const VF unit_error = hn::Mul(error, state.factor), unit_value = hn::Mul(value, state.factor);
  state.error = hn::MulAdd(unit_error, unit_error, state.error);
  state.signal = hn::MulAdd(unit_value, unit_value, state.signal);
  state.largest = raise_to_magnitude(state.largest, error);
  const auto lost = hn::And(hn::Eq(stored, hn::Zero(d)), hn::Ne(value, hn::Zero(d)));
  state.underflows += static_cast<std::int64_t>(hn::CountTrue(d, lost));
}

template <typename Target, typename Value>
CastSums cast_values(const Value* values, std::size_t count, float factor, typename Target::Element* target) {
  const DF d;
  CastState state{hn::Set(d, factor), hn::Zero(d), hn::Zero(d), hn::Zero(d), 0};
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) cast_vector<Target>(values + i, target + i, state);
  if (i < count) {
    HWY_ALIGN Value rest[kLanes] = {};
    HWY_ALIGN typename Target::Element stored[kLanes];
    std::memcpy(rest, values + i, (count - i) * sizeof(Value));
    cast_vector<Target>(rest, stored, state);
    std::memcpy(target + i, stored, (count - i) * sizeof(stored[0]));
  }
  return {hn::GetLane(hn::SumOfLanes(d, state.error)), hn::GetLane(hn::SumOfLanes(d, state.signal)),
          hn::GetLane(hn::MaxOfLanes(d, state.largest)), state.underflows};
}

template <typename Value>
CastSums cast_from(const Value* values, std::size_t count, float factor, void* target,
                   std::uint32_t target_dtype) {
  if (target_dtype == OCTAVO_F32)
    return cast_values<F32Target>(values, count, factor, static_cast<float*>(target));
  std::uint16_t* halves = static_cast<std::uint16_t*>(target);
  if (target_dtype == OCTAVO_F16) return cast_values<F16Target>(values, count, factor, halves);
  return cast_values<Bf16Target>(values, count, factor, halves);
}

CastSums cast(const void* values, std::uint32_t dtype, std::size_t count, float factor, void* target,
              std::uint32_t target_dtype) {
  if (dtype == OCTAVO_F32)
    return cast_from(static_cast<const float*>(values), count, factor, target, target_dtype);
  if (dtype == OCTAVO_BF16)
    return cast_from(static_cast<const Bf16Value*>(values), count, factor, target, target_dtype);
  return cast_from(static_cast<const F16Value*>(values), count, factor, target, target_dtype);
}

// ---- codes times a scale

void scale_codes(const std::int8_t* codes, std::size_t count, float scale, float* target) {
  const DF d;
  const hn::Rebind<std::int8_t, DF> di8;
  const VF factor = hn::Set(d, scale);
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    hn::StoreU(hn::Mul(hn::ConvertTo(d, hn::PromoteTo(DI(), hn::LoadU(di8, codes + i))), factor), d,
               target + i);
  for (; i < count; ++i) target[i] = static_cast<float>(codes[i]) * scale;
}

// ---- differences

using DD = hn::ScalableTag<double>;
using VD = hn::Vec<DD>;

struct DifferenceState {
  VD error, signal;
  VF largest;
};

HWY_INLINE void add_half(VF a, VF b, DifferenceState& state) {
  const DD dd;
  const hn::Half<DF> half;
  const VD wide = hn::PromoteTo(dd, hn::LowerHalf(half, a));
  const VD difference = hn::Sub(wide, hn::PromoteTo(dd, hn::LowerHalf(half, b)));
  state.error = hn::MulAdd(difference, difference, state.error);
  state.signal = hn::MulAdd(wide, wide, state.signal);
}

HWY_INLINE void add_vector(VF a, VF b, DifferenceState& low, DifferenceState& high) {
  const DF d;
  add_half(a, b, low);
  add_half(hn::ConcatUpperUpper(d, a, a), hn::ConcatUpperUpper(d, b, b), high);
  low.largest = hn::Max(hn::Abs(hn::Sub(a, b)), low.largest);  // a NaN leaves the second operand
}

template <typename A, typename B>
DifferenceSums differences_of(const A* a, const B* b, std::size_t count) {
  const DF d;
  const DD dd;
  DifferenceState low{hn::Zero(dd), hn::Zero(dd), hn::Zero(d)}, high = low;
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) add_vector(load_straight(a + i), load_straight(b + i), low, high);
  if (i < count) {
    HWY_ALIGN A rest_a[kLanes] = {};
    HWY_ALIGN B rest_b[kLanes] = {};
    std::memcpy(rest_a, a + i, (count - i) * sizeof(A));
    std::memcpy(rest_b, b + i, (count - i) * sizeof(B));
    add_vector(load_straight(rest_a), load_straight(rest_b), low, high);
  }
  return {hn::GetLane(hn::SumOfLanes(dd, hn::Add(low.error, high.error))),
          hn::GetLane(hn::SumOfLanes(dd, hn::Add(low.signal, high.signal))),
          hn::GetLane(hn::MaxOfLanes(d, low.largest))};
}

template <typename A>
DifferenceSums differences_from(const A* a, const void* b, std::uint32_t b_dtype, std::size_t count) {
  if (b_dtype == OCTAVO_F32) return differences_of(a, static_cast<const float*>(b), count);
  if (b_dtype == OCTAVO_BF16) return differences_of(a, static_cast<const Bf16Value*>(b), count);
  return differences_of(a, static_cast<const F16Value*>(b), count);
}

DifferenceSums differences(const void* a, std::uint32_t a_dtype, const void* b, std::uint32_t b_dtype,
                           std::size_t count) {
  if (a_dtype == OCTAVO_F32) return differences_from(static_cast<const float*>(a), b, b_dtype, count);
  if (a_dtype == OCTAVO_BF16) return differences_from(static_cast<const Bf16Value*>(a), b, b_dtype, count);
  return differences_from(static_cast<const F16Value*>(a), b, b_dtype, count);
}

constexpr ValueKernels kValueKernels = {decode, cast, scale_codes, differences};

#endif  // OCTAVO_CPU_KERNEL_TARGET
}  // namespace octavo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace octavo::cpu {

const ValueKernels* value_kernels(Simd simd) { OCTAVO_CPU_PICK(simd, kValueKernels) }

}  // namespace octavo::cpu
#endif
