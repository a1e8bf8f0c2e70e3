// ConvRot in registers: radix-4 stages at strides 1, 4, 16 and 64, in this order, out = t - 2 x
// reverse(quad).
//
// A stage is cheapest where a quadruple (a, b, c, d) lies in four vectors: seven operations and nothing
// moves. With AVX-512 every stage is made so: 64 values are loaded as four vectors of every fourth one;
// transposing 4 x 4 lanes, then 4 x 4 blocks, brings the next digit of the index across vectors and leaves
// them in memory order, and a group of 256 stays in 16 registers from load to store. With AVX2, where a
// quadruple lies inside one vector, s = x + swap(x) and t = s + swap(s) give every lane (a + b) + (c + d) (an
// addition commutes bit for bit), and the last stage goes through the target, which is in the L1 cache.
//
// 2x is exact, so the fused multiply-add t - 2d rounds as the separate operations do.

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

// Stores values, times `factor` if kScaled, and keeps the largest magnitude stored.
template <bool kScaled>
struct Stored {
  VF factor;
  VF largest;

  HWY_INLINE void store(VF x, float* target) {
    const VF y = kScaled ? hn::Mul(x, factor) : x;
    largest = raise_to_magnitude(largest, y);
    hn::StoreU(y, DF(), target);
  }
};

using Unscaled = Stored<false>;

#if HWY_TARGET == HWY_AVX3

// 64 values as four vectors of every fourth one, so that the first stage is across vectors.
HWY_INLINE Four fourths_of(const Four& v) {
  const DF d;
  const VF even_low = hn::ConcatEven(d, v.b, v.a), even_high = hn::ConcatEven(d, v.d, v.c);
  const VF odd_low = hn::ConcatOdd(d, v.b, v.a), odd_high = hn::ConcatOdd(d, v.d, v.c);
  return {hn::ConcatEven(d, even_high, even_low), hn::ConcatEven(d, odd_high, odd_low),
          hn::ConcatOdd(d, even_high, even_low), hn::ConcatOdd(d, odd_high, odd_low)};
}

HWY_INLINE Four load_fourths(const float* from) { return fourths_of(F32Source::load(from)); }

HWY_INLINE Four load_fourths(const F16Value* from) {
  return fourths_of(F16Source::load(reinterpret_cast<const std::uint16_t*>(from)));
}

// Two neighbours are one 32-bit lane: its halves, put into the upper half, are their f32.
HWY_INLINE Four load_fourths(const Bf16Value* from) {
  const DU du;
  const DF d;
  const VU low = hn::LoadU(du, reinterpret_cast<const std::uint32_t*>(from));
  const VU high = hn::LoadU(du, reinterpret_cast<const std::uint32_t*>(from + 32));
  const VU upper = hn::Set(du, 0xffff0000u);
  const VU first = hn::ConcatEven(du, high, low), second = hn::ConcatOdd(du, high, low);
  return {hn::BitCast(d, hn::ShiftLeft<16>(first)), hn::BitCast(d, hn::And(first, upper)),
          hn::BitCast(d, hn::ShiftLeft<16>(second)), hn::BitCast(d, hn::And(second, upper))};
}

HWY_INLINE VF lower_pairs(VF a, VF b) {
  const hn::Repartition<double, DF> pairs;
  return hn::BitCast(DF(), hn::InterleaveLower(pairs, hn::BitCast(pairs, a), hn::BitCast(pairs, b)));
}

HWY_INLINE VF upper_pairs(VF a, VF b) {
  const hn::Repartition<double, DF> pairs;
  return hn::BitCast(DF(), hn::InterleaveUpper(pairs, hn::BitCast(pairs, a), hn::BitCast(pairs, b)));
}

// Lane i of a block of vector j becomes lane j of that block of vector i.
HWY_INLINE Four transpose_lanes(const Four& v) {
  const DF d;
  const VF low_ab = hn::InterleaveLower(d, v.a, v.b), high_ab = hn::InterleaveUpper(d, v.a, v.b);
  const VF low_cd = hn::InterleaveLower(d, v.c, v.d), high_cd = hn::InterleaveUpper(d, v.c, v.d);
  return {lower_pairs(low_ab, low_cd), upper_pairs(low_ab, low_cd), lower_pairs(high_ab, high_cd),
          upper_pairs(high_ab, high_cd)};
}

// Block i of vector j becomes block j of vector i.
HWY_INLINE Four transpose_blocks(const Four& v) {
  const DF d;
  const VF low_ab = hn::ConcatLowerLower(d, v.b, v.a), high_ab = hn::ConcatUpperUpper(d, v.b, v.a);
  const VF low_cd = hn::ConcatLowerLower(d, v.d, v.c), high_cd = hn::ConcatUpperUpper(d, v.d, v.c);
  constexpr int kEven = _MM_SHUFFLE(2, 0, 2, 0), kOdd = _MM_SHUFFLE(3, 1, 3, 1);
  return {VF{_mm512_shuffle_f32x4(low_ab.raw, low_cd.raw, kEven)},
          VF{_mm512_shuffle_f32x4(low_ab.raw, low_cd.raw, kOdd)},
          VF{_mm512_shuffle_f32x4(high_ab.raw, high_cd.raw, kEven)},
          VF{_mm512_shuffle_f32x4(high_ab.raw, high_cd.raw, kOdd)}};
}

// 64 values through stages 1 and 4, and 16 if there is one; in memory order.
template <bool kThree, typename Value>
HWY_INLINE Four rotate_in_registers(const Value* from) {
  Four v = load_fourths(from);
  stage_across(v.a, v.b, v.c, v.d);
  v = transpose_lanes(v);
  stage_across(v.a, v.b, v.c, v.d);
  v = transpose_blocks(v);
  if (kThree) stage_across(v.a, v.b, v.c, v.d);
  return v;
}

// Four groups of 16.
template <typename Value, typename Output>
HWY_INLINE void rotate_16(const Value* from, Output& output, float* target) {
  const Four v = rotate_in_registers<false>(from);
  output.store(v.a, target);
  output.store(v.b, target + 16);
  output.store(v.c, target + 32);
  output.store(v.d, target + 48);
}

template <typename Value, typename Output>
HWY_INLINE void rotate_64(const Value* from, Output& output, float* target) {
  const Four v = rotate_in_registers<true>(from);
  output.store(v.a, target);
  output.store(v.b, target + 16);
  output.store(v.c, target + 32);
  output.store(v.d, target + 48);
}

template <typename Output>
HWY_INLINE void finish_256(VF a, VF b, VF c, VF d, Output& output, float* target) {
  stage_across(a, b, c, d);
  output.store(a, target);
  output.store(b, target + 64);
  output.store(c, target + 128);
  output.store(d, target + 192);
}

template <typename Value, typename Output>
HWY_INLINE void rotate_256(const Value* from, Output& output, float* target) {
  const Four a = rotate_in_registers<true>(from);
  const Four b = rotate_in_registers<true>(from + 64);
  const Four c = rotate_in_registers<true>(from + 128);
  const Four d = rotate_in_registers<true>(from + 192);
  finish_256(a.a, b.a, c.a, d.a, output, target);
  finish_256(a.b, b.b, c.b, d.b, output, target + 16);
  finish_256(a.c, b.c, c.c, d.c, output, target + 32);
  finish_256(a.d, b.d, c.d, d.d, output, target + 48);
}

#else  // AVX2

// Quadruples in the four lanes of a 128-bit block.
HWY_INLINE VF stage_in_block(VF x) {
  const VF s = hn::Add(x, hn::Shuffle2301(x));
  const VF t = hn::Add(s, hn::Shuffle1032(s));
  return hn::NegMulAdd(hn::Set(DF(), 2.0f), hn::Shuffle0123(x), t);
}

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

template <typename Value, typename Output>
HWY_INLINE void rotate_16(const Value* from, Output& output, float* target) {
  VF x, y;
  load_16(from, x, y);
  output.store(x, target);
  output.store(y, target + 8);
}

template <typename Value, typename Output>
HWY_INLINE void rotate_64(const Value* from, Output& output, float* target) {
  VF a0, a1, b0, b1, c0, c1, d0, d1;
  load_16(from, a0, a1);
  load_16(from + 16, b0, b1);
  load_16(from + 32, c0, c1);
  load_16(from + 48, d0, d1);
  stage_across(a0, b0, c0, d0);
  stage_across(a1, b1, c1, d1);
  output.store(a0, target);
  output.store(a1, target + 8);
  output.store(b0, target + 16);
  output.store(b1, target + 24);
  output.store(c0, target + 32);
  output.store(c1, target + 40);
  output.store(d0, target + 48);
  output.store(d1, target + 56);
}

template <typename Value, typename Output>
HWY_INLINE void rotate_256(const Value* from, Output& output, float* target) {
  const DF d;
  Unscaled between{hn::Zero(d), hn::Zero(d)};
  for (std::size_t i = 0; i < 256; i += 64) rotate_64(from + i, between, target + i);
  for (std::size_t i = 0; i < 64; i += kLanes) {
    VF a = hn::LoadU(d, target + i), b = hn::LoadU(d, target + i + 64);
    VF c = hn::LoadU(d, target + i + 128), e = hn::LoadU(d, target + i + 192);
    stage_across(a, b, c, e);
    output.store(a, target + i);
    output.store(b, target + i + 64);
    output.store(c, target + i + 128);
    output.store(e, target + i + 192);
  }
}

#endif

// How many values a call for groups of 16 takes.
constexpr std::size_t kSixteens = HWY_TARGET == HWY_AVX3 ? 64 : 16;

template <typename Value, typename Output>
void rotate_sixteens(const Value* values, std::size_t count, Output& output, float* target) {
  std::size_t i = 0;
  for (; i + kSixteens <= count; i += kSixteens) rotate_16(values + i, output, target + i);
  if (i == count) return;
  // One to three groups are left: with groups of zeros they make four.
  HWY_ALIGN Value rest[kSixteens] = {};
  HWY_ALIGN float rotated[kSixteens];
  std::memcpy(rest, values + i, (count - i) * sizeof(Value));
  rotate_16(rest, output, rotated);
  std::memcpy(target + i, rotated, (count - i) * sizeof(float));
}

template <bool kScaled, typename Value>
float rotate_values(const Value* values, std::size_t count, std::size_t group, float* target) {
  const DF d;
  const float factor = group == 256 ? 1.0f / 16 : group == 64 ? 1.0f / 8 : 1.0f / 4;
  Stored<kScaled> output{hn::Set(d, factor), hn::Zero(d)};
  if (group == 256)
    for (std::size_t i = 0; i < count; i += 256) rotate_256(values + i, output, target + i);
  else if (group == 64)
    for (std::size_t i = 0; i < count; i += 64) rotate_64(values + i, output, target + i);
  else
    rotate_sixteens(values, count, output, target);
  return hn::GetLane(hn::MaxOfLanes(d, output.largest));
}

template <bool kScaled>
float rotate_any(const void* values, std::uint32_t dtype, std::size_t count, std::size_t group,
                 float* target) {
  if (dtype == OCTAVO_F32)
    return rotate_values<kScaled>(static_cast<const float*>(values), count, group, target);
  if (dtype == OCTAVO_BF16)
    return rotate_values<kScaled>(static_cast<const Bf16Value*>(values), count, group, target);
  return rotate_values<kScaled>(static_cast<const F16Value*>(values), count, group, target);
}

inline float rotate(const void* values, std::uint32_t dtype, std::size_t count, std::size_t group,
                    bool scaled, float* target) {
  return scaled ? rotate_any<true>(values, dtype, count, group, target)
                : rotate_any<false>(values, dtype, count, group, target);
}

#endif  // OCTAVO_CPU_KERNEL_TARGET
}  // namespace octavo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
