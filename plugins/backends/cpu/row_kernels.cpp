// Absmax and nearest on rows.
//
// Nearest: t = w x (1/s) is within 2.3e-5 of the true quotient (three roundings of a value of at most 127.5),
// so rint(t) is the code unless t is about as close as that to a tie; groups of four vectors in which any
// lane is (8e-5 of the values) are divided as well. Errors and signal are summed in units of the scale, where
// nothing can overflow, from d = t - rint(t).
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "row_kernels.cpp"
#include "targets.hpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include "row_kernels.hpp"

#include "rotate-inl.h"
#include "source-inl.h"

#include <octavo/tensor.hpp>

#include <hwy/cache_control.h>

#include <cfloat>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace octavo::cpu::HWY_NAMESPACE {
#if OCTAVO_CPU_KERNEL_TARGET

// Largest of T's bit patterns without the sign, which for floats orders like the magnitude.
template <typename D, typename T = hn::TFromD<D>>
T largest_magnitude(D d, const Values& values) {
  constexpr T kMagnitude = static_cast<T>(static_cast<T>(~T{0}) >> 1);
  const std::size_t lanes = hn::Lanes(d);
  const auto magnitude = hn::Set(d, kMagnitude);
  auto m0 = hn::Zero(d), m1 = m0, m2 = m0, m3 = m0;
  T rest = 0;
  for (std::size_t r = 0; r < values.rows; ++r) {
    const T* row = static_cast<const T*>(values.data) + static_cast<std::ptrdiff_t>(r) * values.stride;
    std::size_t i = 0;
    for (; i + 4 * lanes <= values.cols; i += 4 * lanes) {
      m0 = hn::Max(m0, hn::And(hn::LoadU(d, row + i), magnitude));
      m1 = hn::Max(m1, hn::And(hn::LoadU(d, row + i + lanes), magnitude));
      m2 = hn::Max(m2, hn::And(hn::LoadU(d, row + i + 2 * lanes), magnitude));
      m3 = hn::Max(m3, hn::And(hn::LoadU(d, row + i + 3 * lanes), magnitude));
    }
    for (; i + lanes <= values.cols; i += lanes) m0 = hn::Max(m0, hn::And(hn::LoadU(d, row + i), magnitude));
    for (; i < values.cols; ++i) rest = HWY_MAX(rest, static_cast<T>(row[i] & kMagnitude));
  }
  HWY_ALIGN T lane[64 / sizeof(T)];
  hn::Store(hn::Max(hn::Max(m0, m1), hn::Max(m2, m3)), d, lane);
  for (std::size_t k = 0; k < lanes; ++k) rest = HWY_MAX(rest, lane[k]);
  return rest;
}

std::uint32_t absmax(const Values& values) {
  if (values.dtype == OCTAVO_F32) return largest_magnitude(DU(), values);
  const std::uint16_t largest = largest_magnitude(DU16(), values);
  const float widened = values.dtype == OCTAVO_BF16 ? from_bf16(largest) : from_f16(largest);
  std::uint32_t bits;
  std::memcpy(&bits, &widened, sizeof bits);
  return bits;
}

struct Rounding {
  VF scale, inverse, near_tie;
};

struct Sums {
  VF error, signal, largest;
};

// t - code, code = rint(t).
HWY_INLINE VF rounding_error(VF t, VI code) {
#if HWY_TARGET == HWY_AVX3
  (void)code;
  constexpr int kWholeNumbersHalfToEven = 0x8;
  return VF{_mm512_reduce_ps(t.raw, kWholeNumbersHalfToEven)};
#else
  return hn::Sub(t, hn::ConvertTo(DF(), code));
#endif
}

HWY_INLINE VI round_one(VF value, const Rounding& rounding, Sums& sums, VF& error) {
  const VF t = hn::Mul(value, rounding.inverse);
  const VI code = hn::NearestInt(t);
  error = rounding_error(t, code);
  sums.error = hn::MulAdd(error, error, sums.error);
  sums.signal = hn::MulAdd(t, t, sums.signal);
  return code;
}

template <typename Source>
HWY_INLINE VI8 round_four(const typename Source::Element* from, const Rounding& rounding, Sums& even,
                          Sums& odd) {
  const Four v = Source::load(from);
  VF ea, eb, ec, ed;
  VI a = round_one(v.a, rounding, even, ea);
  VI b = round_one(v.b, rounding, odd, eb);
  VI c = round_one(v.c, rounding, even, ec);
  VI d = round_one(v.d, rounding, odd, ed);
  const VF farthest = hn::Max(larger_magnitude(ea, eb), larger_magnitude(ec, ed));
  even.largest = hn::Max(even.largest, farthest);
  if (HWY_UNLIKELY(!hn::AllFalse(DF(), hn::Gt(farthest, rounding.near_tie)))) {
    a = hn::NearestInt(hn::Div(v.a, rounding.scale));
    b = hn::NearestInt(hn::Div(v.b, rounding.scale));
    c = hn::NearestInt(hn::Div(v.c, rounding.scale));
    d = hn::NearestInt(hn::Div(v.d, rounding.scale));
  }
  return pack<Source>(a, b, c, d);
}

template <typename Source>
HWY_INLINE void round_row(const typename Source::Element* row, std::size_t count, const Rounding& rounding,
                          std::int8_t* codes, Ahead ahead, Sums& even, Sums& odd) {
  const DI8 di8;
  const char* next = ahead.from;
  std::size_t i = 0;
  for (; i + kStep <= count; i += kStep) {
    if (next != nullptr) {
      for (std::size_t line = 0; line < kStep * ahead.element; line += 64) hwy::Prefetch(next + line);
      next += kStep * ahead.element;
    }
    hn::StoreU(round_four<Source>(row + i, rounding, even, odd), di8, codes + i);
  }
  if (i == count) return;
  // The rest, padded with zeros, which add nothing to the sums.
  HWY_ALIGN typename Source::Element rest[kStep] = {};
  HWY_ALIGN std::int8_t rest_codes[kStep];
  std::memcpy(rest, row + i, (count - i) * sizeof(rest[0]));
  hn::Store(round_four<Source>(rest, rounding, even, odd), di8, rest_codes);
  std::memcpy(codes + i, rest_codes, count - i);
}

template <typename Source>
RoundingSums quantize_source(const Values& values, float scale, std::int8_t* codes,
                             std::ptrdiff_t codes_stride, Ahead ahead) {
  const DF d;
  const float inverse = 1.0f / scale;
  // A subnormal inverse has too few bits: then every group is divided.
  const Rounding rounding{hn::Set(d, scale), hn::Set(d, inverse),
                          hn::Set(d, inverse >= FLT_MIN ? 0.5f - 4e-5f : -1.0f)};
  Sums even{hn::Zero(d), hn::Zero(d), hn::Zero(d)}, odd = even;
  for (std::size_t r = 0; r < values.rows; ++r) {
    const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(r) * values.stride;
    round_row<Source>(static_cast<const typename Source::Element*>(values.data) + start, values.cols,
                      rounding, codes + static_cast<std::ptrdiff_t>(r) * codes_stride, ahead.at(start), even,
                      odd);
  }
  return {hn::GetLane(hn::SumOfLanes(d, hn::Add(even.error, odd.error))),
          hn::GetLane(hn::SumOfLanes(d, hn::Add(even.signal, odd.signal))),
          hn::GetLane(hn::MaxOfLanes(d, even.largest))};
}

RoundingSums quantize(const Values& values, float scale, std::int8_t* codes, std::ptrdiff_t codes_stride,
                      Ahead ahead) {
  if (values.dtype == OCTAVO_F32)
    return quantize_source<F32Source>(values, scale, codes, codes_stride, ahead);
  if (values.dtype == OCTAVO_BF16)
    return quantize_source<Bf16Source>(values, scale, codes, codes_stride, ahead);
  return quantize_source<F16Source>(values, scale, codes, codes_stride, ahead);
}

constexpr RowKernels kRowKernels = {absmax, quantize, rotate};

#endif  // OCTAVO_CPU_KERNEL_TARGET
}  // namespace octavo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace octavo::cpu {

const RowKernels* row_kernels(Simd simd) { OCTAVO_CPU_PICK(simd, kRowKernels) }

}  // namespace octavo::cpu
#endif
