// Reading F32, BF16 and F16 values as f32 vectors, four at a time, and packing four vectors of codes.
//
// The order of values within the four vectors is the source's own: what unpacks them fastest. BF16 is
// interleaved with zeros inside 128-bit blocks, which the packing of codes (also inside blocks) undoes for
// free. A source's kOrder says which permutation of 32-bit lanes brings packed codes into memory order.

// Include guard that Highway flips for each target.
#if defined(OCTAVO_CPU_SOURCE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OCTAVO_CPU_SOURCE_INL_H_
#undef OCTAVO_CPU_SOURCE_INL_H_
#else
#define OCTAVO_CPU_SOURCE_INL_H_
#endif

#include <octavo/abi/tensor.h>

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace octavo::cpu::HWY_NAMESPACE {
#if OCTAVO_CPU_KERNEL_TARGET

namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using DI = hn::RebindToSigned<DF>;
using DU = hn::RebindToUnsigned<DF>;
using DI16 = hn::Repartition<std::int16_t, DF>;
using DU16 = hn::Repartition<std::uint16_t, DF>;
using DI8 = hn::Repartition<std::int8_t, DF>;
using VF = hn::Vec<DF>;
using VI = hn::Vec<DI>;
using VU = hn::Vec<DU>;
using VI16 = hn::Vec<DI16>;
using VU16 = hn::Vec<DU16>;
using VI8 = hn::Vec<DI8>;

constexpr std::size_t kLanes = HWY_TARGET == HWY_AVX3 ? 16 : 8;
constexpr std::size_t kStep = 4 * kLanes;  // values in four vectors

// Index of a code's 32-bit lane: packed lane (block, which) holds four codes of one of the four vectors.
struct PackedOrder {
  std::int32_t from[kLanes];
};

// Four vectors in memory order: output lane vector * blocks + block comes from packed lane block * 4 +
// vector.
constexpr PackedOrder straight_order() {
  constexpr std::size_t kBlocks = kLanes / 4;
  PackedOrder order{};
  for (std::size_t v = 0; v < 4; ++v) {
    for (std::size_t b = 0; b < kBlocks; ++b)
      order.from[v * kBlocks + b] = static_cast<std::int32_t>(b * 4 + v);
  }
  return order;
}

// Vector pairs that were unpacked inside blocks: a pair's block holds eight neighbours.
constexpr PackedOrder unpacked_order() {
  constexpr std::size_t kBlocks = kLanes / 4;
  PackedOrder order{};
  for (std::size_t pair = 0; pair < 2; ++pair) {
    for (std::size_t b = 0; b < kBlocks; ++b) {
      for (std::size_t half = 0; half < 2; ++half)
        order.from[pair * 2 * kBlocks + 2 * b + half] = static_cast<std::int32_t>(b * 4 + pair * 2 + half);
    }
  }
  return order;
}

struct Four {
  VF a, b, c, d;
};

// BF16 and F16 values, to be told apart.
struct Bf16Value {
  std::uint16_t bits;
};
struct F16Value {
  std::uint16_t bits;
};

// One vector in memory order.
HWY_INLINE VF load_straight(const float* from) { return hn::LoadU(DF(), from); }

HWY_INLINE VF load_straight(const Bf16Value* from) {
  const hn::Rebind<std::uint16_t, DF> du16;
  const VU wide = hn::PromoteTo(DU(), hn::LoadU(du16, reinterpret_cast<const std::uint16_t*>(from)));
  return hn::BitCast(DF(), hn::ShiftLeft<16>(wide));
}

HWY_INLINE VF load_straight(const F16Value* from) {
  const hn::Rebind<hwy::float16_t, DF> half;
  return hn::PromoteTo(DF(), hn::LoadU(half, reinterpret_cast<const hwy::float16_t*>(from)));
}

struct F32Source {
  using Element = float;
  static constexpr PackedOrder kOrder = straight_order();
  static HWY_INLINE Four load(const float* from) {
    const DF d;
    return {hn::LoadU(d, from), hn::LoadU(d, from + kLanes), hn::LoadU(d, from + 2 * kLanes),
            hn::LoadU(d, from + 3 * kLanes)};
  }
};

struct Bf16Source {
  using Element = std::uint16_t;
  static constexpr PackedOrder kOrder = unpacked_order();
  static HWY_INLINE Four load(const std::uint16_t* from) {
    const DU16 du16;
    const DF d;
    const VU16 zero = hn::Zero(du16);
    const VU16 low = hn::LoadU(du16, from);
    const VU16 high = hn::LoadU(du16, from + 2 * kLanes);
    return {hn::BitCast(d, hn::InterleaveLower(du16, zero, low)),
            hn::BitCast(d, hn::InterleaveUpper(du16, zero, low)),
            hn::BitCast(d, hn::InterleaveLower(du16, zero, high)),
            hn::BitCast(d, hn::InterleaveUpper(du16, zero, high))};
  }
};

struct F16Source {
  using Element = std::uint16_t;
  static constexpr PackedOrder kOrder = straight_order();
  static HWY_INLINE Four load(const std::uint16_t* from) {
    const F16Value* values = reinterpret_cast<const F16Value*>(from);
    return {load_straight(values), load_straight(values + kLanes), load_straight(values + 2 * kLanes),
            load_straight(values + 3 * kLanes)};
  }
};

#if HWY_TARGET == HWY_AVX3
// max(|a|, |b|) of finite values.
HWY_INLINE VF larger_magnitude(VF a, VF b) {
  constexpr int kLargerMagnitudeWithoutSign = 0xb;
  return VF{_mm512_range_ps(a.raw, b.raw, kLargerMagnitudeWithoutSign)};
}
// The same where a >= 0.
HWY_INLINE VF raise_to_magnitude(VF a, VF b) { return larger_magnitude(a, b); }
#else
HWY_INLINE VF larger_magnitude(VF a, VF b) { return hn::Max(hn::Abs(a), hn::Abs(b)); }
HWY_INLINE VF raise_to_magnitude(VF a, VF b) { return hn::Max(a, hn::Abs(b)); }
#endif

// Codes of four vectors, each saturated to 8 bits, in memory order.
template <typename Source>
HWY_INLINE VI8 pack(VI a, VI b, VI c, VI d) {
  const DI16 di16;
  const DI di;
  const VI16 low = hn::ReorderDemote2To(di16, a, b);
  const VI16 high = hn::ReorderDemote2To(di16, c, d);
#if HWY_TARGET == HWY_AVX3
  const VI8 packed{_mm512_packs_epi16(low.raw, high.raw)};
#else
  const VI8 packed{_mm256_packs_epi16(low.raw, high.raw)};
#endif
  const auto order = hn::SetTableIndices(di, Source::kOrder.from);
  return hn::BitCast(DI8(), hn::TableLookupLanes(hn::BitCast(di, packed), order));
}

#endif  // OCTAVO_CPU_KERNEL_TARGET
}  // namespace octavo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
