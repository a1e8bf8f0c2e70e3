// ConvRot in registers: radix-4 stages at strides 1, 4, 16 and 64, in this order, out = t - 2 x
// reverse(quad).
//
// Where a quadruple (a, b, c, d) lies inside one vector, s = x + swap(x) and t = s + swap(s) give every lane
// (a + b) + (c + d): an addition commutes bit for bit, so the lanes agree with the scalar definition. Where
// it lies in four vectors nothing moves. 2x is exact, so the fused multiply-add t - 2d rounds as the separate
// operations do. With AVX-512 a group of 256 stays in 16 registers from load to store; with AVX2 the last
// stage goes through the (L1 resident) target.

// Include guard that Highway flips for each target.
#if defined(OCTAVO_CPU_ROTATE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OCTAVO_CPU_ROTATE_INL_H_
#undef OCTAVO_CPU_ROTATE_INL_H_
#else
#define OCTAVO_CPU_ROTATE_INL_H_
#endif

#include "source-inl.h"

HWY_BEFORE_NAMESPACE();
namespace octavo::cpu::HWY_NAMESPACE {
#if OCTAVO_CPU_KERNEL_TARGET

// One vector in memory order.
HWY_INLINE VF load_straight(const float* from) { return hn::LoadU(DF(), from); }

struct Bf16Value {
  std::uint16_t bits;
};
struct F16Value {
  std::uint16_t bits;
};

HWY_INLINE VF load_straight(const Bf16Value* from) {
  const hn::Rebind<std::uint16_t, DF> du16;
  const VU wide = hn::PromoteTo(DU(), hn::LoadU(du16, reinterpret_cast<const std::uint16_t*>(from)));
  return hn::BitCast(DF(), hn::ShiftLeft<16>(wide));
}

HWY_INLINE VF load_straight(const F16Value* from) {
  return F16Source::load_one(reinterpret_cast<const std::uint16_t*>(from));
}

// Quadruples in the four lanes of a 128-bit block.
HWY_INLINE VF stage_in_block(VF x) {
  const VF s = hn::Add(x, hn::Shuffle2301(x));
  const VF t = hn::Add(s, hn::Shuffle1032(s));
  return hn::NegMulAdd(hn::Set(DF(), 2.0f), hn::Shuffle0123(x), t);
}

// Quadruples in four vectors.
HWY_INLINE void stage_across(VF& a, VF& b, VF& c, VF& d) {
  const VF two = hn::Set(DF(), 2.0f);
  const VF t = hn::Add(hn::Add(a, b), hn::Add(c, d));
  const VF first = hn::NegMulAdd(two, d, t);
  const VF second = hn::NegMulAdd(two, c, t);
  const VF third = hn::NegMulAdd(two, b, t);
  const VF fourth = hn::NegMulAdd(two, a, t);
  a = first;
  b = second;
  c = third;
  d = fourth;
}

// What is written, and the largest magnitude of it.
struct Output {
  VF factor;
  VF largest;
};

HWY_INLINE void store_scaled(VF x, Output& output, float* target) {
  const DF d;
  const VF y = hn::Mul(x, output.factor);
  output.largest = hn::Max(output.largest, hn::Abs(y));
  hn::StoreU(y, d, target);
}

#if HWY_TARGET == HWY_AVX3

// Quadruples in the four blocks of a vector.
HWY_INLINE VF stage_of_blocks(VF x) {
  const DF d;
  const VF s = hn::Add(x, hn::SwapAdjacentBlocks(x));
  const VF t = hn::Add(s, hn::ReverseBlocks(d, s));
  return hn::NegMulAdd(hn::Set(d, 2.0f), hn::ReverseBlocks(d, x), t);
}

template <typename Value>
HWY_INLINE VF load_16(const Value* from) {
  return stage_of_blocks(stage_in_block(load_straight(from)));
}

template <typename Value>
HWY_INLINE void load_64(const Value* from, VF& a, VF& b, VF& c, VF& d) {
  a = load_16(from);
  b = load_16(from + 16);
  c = load_16(from + 32);
  d = load_16(from + 48);
  stage_across(a, b, c, d);
}

template <typename Value>
HWY_INLINE void rotate_16(const Value* from, Output& output, float* target) {
  store_scaled(load_16(from), output, target);
}

template <typename Value>
HWY_INLINE void rotate_64(const Value* from, Output& output, float* target) {
  VF a, b, c, d;
  load_64(from, a, b, c, d);
  store_scaled(a, output, target);
  store_scaled(b, output, target + 16);
  store_scaled(c, output, target + 32);
  store_scaled(d, output, target + 48);
}

HWY_INLINE void finish_256(VF a, VF b, VF c, VF d, Output& output, float* target) {
  stage_across(a, b, c, d);
  store_scaled(a, output, target);
  store_scaled(b, output, target + 64);
  store_scaled(c, output, target + 128);
  store_scaled(d, output, target + 192);
}

template <typename Value>
HWY_INLINE void rotate_256(const Value* from, Output& output, float* target) {
  VF a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3;
  load_64(from, a0, a1, a2, a3);
  load_64(from + 64, b0, b1, b2, b3);
  load_64(from + 128, c0, c1, c2, c3);
  load_64(from + 192, d0, d1, d2, d3);
  finish_256(a0, b0, c0, d0, output, target);
  finish_256(a1, b1, c1, d1, output, target + 16);
  finish_256(a2, b2, c2, d2, output, target + 32);
  finish_256(a3, b3, c3, d3, output, target + 48);
}

#else  // AVX2

// Quadruples in the two blocks of each of two vectors.
HWY_INLINE void stage_of_pairs(VF& x, VF& y) {
  const DF d;
  const VF two = hn::Set(d, 2.0f);
  const VF swapped_x = hn::SwapAdjacentBlocks(x);
  const VF swapped_y = hn::SwapAdjacentBlocks(y);
  const VF t = hn::Add(hn::Add(x, swapped_x), hn::Add(y, swapped_y));
  x = hn::NegMulAdd(two, swapped_y, t);
  y = hn::NegMulAdd(two, swapped_x, t);
}

template <typename Value>
HWY_INLINE void load_16(const Value* from, VF& x, VF& y) {
  x = stage_in_block(load_straight(from));
  y = stage_in_block(load_straight(from + 8));
  stage_of_pairs(x, y);
}

template <typename Value>
HWY_INLINE void rotate_16(const Value* from, Output& output, float* target) {
  VF x, y;
  load_16(from, x, y);
  store_scaled(x, output, target);
  store_scaled(y, output, target + 8);
}

template <typename Value>
HWY_INLINE void rotate_64(const Value* from, Output& output, float* target) {
  VF a0, a1, b0, b1, c0, c1, d0, d1;
  load_16(from, a0, a1);
  load_16(from + 16, b0, b1);
  load_16(from + 32, c0, c1);
  load_16(from + 48, d0, d1);
  stage_across(a0, b0, c0, d0);
  stage_across(a1, b1, c1, d1);
  store_scaled(a0, output, target);
  store_scaled(a1, output, target + 8);
  store_scaled(b0, output, target + 16);
  store_scaled(b1, output, target + 24);
  store_scaled(c0, output, target + 32);
  store_scaled(c1, output, target + 40);
  store_scaled(d0, output, target + 48);
  store_scaled(d1, output, target + 56);
}

template <typename Value>
HWY_INLINE void rotate_256(const Value* from, Output& output, float* target) {
  const DF d;
  Output unscaled{hn::Set(d, 1.0f), hn::Zero(d)};
  for (std::size_t i = 0; i < 256; i += 64) rotate_64(from + i, unscaled, target + i);
  for (std::size_t i = 0; i < 64; i += kLanes) {
    VF a = hn::LoadU(d, target + i), b = hn::LoadU(d, target + i + 64);
    VF c = hn::LoadU(d, target + i + 128), e = hn::LoadU(d, target + i + 192);
    stage_across(a, b, c, e);
    store_scaled(a, output, target + i);
    store_scaled(b, output, target + i + 64);
    store_scaled(c, output, target + i + 128);
    store_scaled(e, output, target + i + 192);
  }
}

#endif

template <typename Value>
float rotate_values(const Value* values, std::size_t count, std::size_t group, float* target) {
  const DF d;
  const float factor = group == 256 ? 1.0f / 16 : group == 64 ? 1.0f / 8 : 1.0f / 4;
  Output output{hn::Set(d, factor), hn::Zero(d)};
  for (std::size_t i = 0; i < count; i += group) {
    if (group == 256)
      rotate_256(values + i, output, target + i);
    else if (group == 64)
      rotate_64(values + i, output, target + i);
    else
      rotate_16(values + i, output, target + i);
  }
  return hn::GetLane(hn::MaxOfLanes(d, output.largest));
}

inline float rotate(const void* values, std::uint32_t dtype, std::size_t count, std::size_t group,
                    float* target) {
  if (dtype == OCTAVO_F32) return rotate_values(static_cast<const float*>(values), count, group, target);
  if (dtype == OCTAVO_BF16) return rotate_values(static_cast<const Bf16Value*>(values), count, group, target);
  return rotate_values(static_cast<const F16Value*>(values), count, group, target);
}

#endif  // OCTAVO_CPU_KERNEL_TARGET
}  // namespace octavo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
