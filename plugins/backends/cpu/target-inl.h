// Rounding f32 vectors to F32, BF16 and F16, half to even, and storing them. Finite values only.

// Include guard that Highway flips for each target.
#if defined(OCTAVO_CPU_TARGET_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OCTAVO_CPU_TARGET_INL_H_
#undef OCTAVO_CPU_TARGET_INL_H_
#else
#define OCTAVO_CPU_TARGET_INL_H_
#endif

#include "source-inl.h"

HWY_BEFORE_NAMESPACE();
namespace octavo::cpu::HWY_NAMESPACE {
#if OCTAVO_CPU_KERNEL_TARGET

// Each has round(x), the rounded value as f32, and store(x, to), which also returns it.
struct F32Target {
  using Element = float;
  static HWY_INLINE VF round(VF x) { return x; }
  static HWY_INLINE VF store(VF x, float* to) {
    hn::StoreU(x, DF(), to);
    return x;
  }
};

struct F16Target {
  using Element = std::uint16_t;
  using Half = hn::Rebind<hwy::float16_t, DF>;
  static HWY_INLINE VF round(VF x) { return hn::PromoteTo(DF(), hn::DemoteTo(Half(), x)); }
  static HWY_INLINE VF store(VF x, std::uint16_t* to) {
    const auto stored = hn::DemoteTo(Half(), x);
    hn::StoreU(stored, Half(), reinterpret_cast<hwy::float16_t*>(to));
    return hn::PromoteTo(DF(), stored);
  }
};

struct Bf16Target {
  using Element = std::uint16_t;
  static HWY_INLINE VU upper_half(VF x) {
    const DU du;
    const VU bits = hn::BitCast(du, x);
    const VU odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
    return hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(du, 0x7fff)), odd));
  }
  static HWY_INLINE VF round(VF x) { return hn::BitCast(DF(), hn::ShiftLeft<16>(upper_half(x))); }
  static HWY_INLINE VF store(VF x, std::uint16_t* to) {
    const hn::Rebind<std::uint16_t, DF> du16;
    const VU upper = upper_half(x);
    hn::StoreU(hn::DemoteTo(du16, hn::BitCast(DI(), upper)), du16, to);
    return hn::BitCast(DF(), hn::ShiftLeft<16>(upper));
  }
};

#endif  // OCTAVO_CPU_KERNEL_TARGET
}  // namespace octavo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
