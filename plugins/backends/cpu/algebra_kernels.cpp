// Merge: four rows by four (AVX2: two) vectors of columns stay in registers while the rank runs; the columns
// of `down` are packed, so that they come from the L1 cache.
//
// Feedback: rows are lanes. Columns go in panels of eight from the last to the first: first the panel's eight
// sums take in all columns that were rounded before, in their order, then the panel is rounded one column
// after another. So every sum adds in the order of the definition, without contraction, and gives its bits.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "algebra_kernels.cpp"
#include "targets.hpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include "algebra_kernels.hpp"

#include "source-inl.h"
#include "target-inl.h"

#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace octavo::cpu::HWY_NAMESPACE {
#if OCTAVO_CPU_KERNEL_TARGET

// ---- merge

constexpr std::size_t kMergeVectors = HWY_TARGET == HWY_AVX3 ? 4 : 2;
constexpr std::size_t kMergeCols = kMergeVectors * kLanes;

// kRows rows from `row` on, for all of merge_cols columns (what lies beyond merge.cols is not stored).
template <std::size_t kRows>
HWY_INLINE void merge_rows(const Merge& merge, std::size_t row) {
  const DF d;
  VF sums[kRows][kMergeVectors];
  for (std::size_t r = 0; r < kRows; ++r) {
    for (std::size_t v = 0; v < kMergeVectors; ++v) sums[r][v] = hn::Zero(d);
  }
  for (std::size_t i = 0; i < merge.rank; ++i) {
    const float* down = merge.down + i * kMergeCols;
    for (std::size_t r = 0; r < kRows; ++r) {
      const VF factor = hn::Set(
          d,
          merge.up[static_cast<std::ptrdiff_t>(row + r) * merge.up_stride + static_cast<std::ptrdiff_t>(i)]);
      for (std::size_t v = 0; v < kMergeVectors; ++v)
        sums[r][v] = hn::Add(sums[r][v], hn::Mul(factor, hn::Load(d, down + v * kLanes)));
    }
  }
  const VF strength = hn::Set(d, merge.strength);
  for (std::size_t r = 0; r < kRows; ++r) {
    const float* source = merge.source + static_cast<std::ptrdiff_t>(row + r) * merge.source_stride;
    float* target = merge.target + static_cast<std::ptrdiff_t>(row + r) * merge.target_stride;
    for (std::size_t v = 0; v < kMergeVectors; ++v) {
      const std::size_t col = v * kLanes;
      if (col >= merge.cols) break;
      HWY_ALIGN float part[kLanes] = {};
      const std::size_t count = HWY_MIN(kLanes, merge.cols - col);
      if (count == kLanes) {
        hn::StoreU(hn::Add(hn::LoadU(d, source + col), hn::Mul(strength, sums[r][v])), d, target + col);
        continue;
      }
      std::memcpy(part, source + col, count * sizeof(float));
      hn::Store(hn::Add(hn::Load(d, part), hn::Mul(strength, sums[r][v])), d, part);
      std::memcpy(target + col, part, count * sizeof(float));
    }
  }
}

void merge(const Merge& merge) {
  std::size_t row = 0;
  for (; row + 4 <= merge.rows; row += 4) merge_rows<4>(merge, row);
  for (; row < merge.rows; ++row) merge_rows<1>(merge, row);
}

// ---- feedback

constexpr std::size_t kPanel = 8;

// Rounds column `col`, whose feedback is complete, and returns its residual.
HWY_INLINE VF round_column(const FeedbackBlock& block, std::size_t col, VF f, VF& metric) {
  const DF d;
  const VF scale = hn::Load(d, block.scales + col * kLanes);
  const VF whole = hn::Round(hn::Div(f, scale));
  const VF code = hn::Min(hn::Max(whole, hn::Set(d, block.qmin)), hn::Set(d, block.qmax));
  hn::Store(code, d, block.work + col * kLanes);
  const VF stored = hn::Mul(code, scale);
  const VF residual = hn::Sub(hn::Load(d, block.source + col * kLanes), stored);
  hn::Store(residual, d, block.residual + col * kLanes);
  if (block.pivots != nullptr) {
    const VF left = hn::Sub(f, stored);
    metric = hn::MulAdd(hn::Mul(hn::Set(d, block.pivots[col]), left), left, metric);
  }
  return residual;
}

// Columns [first, first + kCols), all columns behind them being done.
template <std::size_t kCols>
HWY_INLINE void round_panel(const FeedbackBlock& block, std::size_t first, VF& metric) {
  const DF d;
  VF f[kCols];
  for (std::size_t k = 0; k < kCols; ++k) f[k] = hn::Load(d, block.work + (first + k) * kLanes);
  for (std::size_t i = block.cols; i-- > first + kCols;) {
    const VF residual = hn::Load(d, block.residual + i * kLanes);
    const float* factor = block.factor + static_cast<std::ptrdiff_t>(i) * block.factor_stride + first;
    for (std::size_t k = 0; k < kCols; ++k) f[k] = hn::Add(f[k], hn::Mul(residual, hn::Set(d, factor[k])));
  }
  for (std::size_t i = kCols; i-- > 0;) {
    const VF residual = round_column(block, first + i, f[i], metric);
    const float* factor = block.factor + static_cast<std::ptrdiff_t>(first + i) * block.factor_stride + first;
    for (std::size_t k = 0; k < i; ++k) f[k] = hn::Add(f[k], hn::Mul(residual, hn::Set(d, factor[k])));
  }
}

void round_rows(const FeedbackBlock& block) {
  const DF d;
  VF metric = hn::Zero(d);
  std::size_t first = block.cols;
  if (block.factor == nullptr) {
    for (; first > 0; --first)
      round_column(block, first - 1, hn::Load(d, block.work + (first - 1) * kLanes), metric);
  }
  for (; first >= kPanel; first -= kPanel) round_panel<kPanel>(block, first - kPanel, metric);
  for (; first > 0; --first) round_panel<1>(block, first - 1, metric);
  hn::Store(metric, d, block.metric);
}

// ---- W8A8

template <typename Compute>
HWY_INLINE void quantize_vector(const float* x, VF divisor, std::int8_t* codes) {
  const DF d;
  const hn::Rebind<std::int8_t, DF> di8;
  const VF v = Compute::round(hn::Div(hn::LoadU(d, x), divisor));
  const VF limited = hn::Min(hn::Max(hn::Round(v), hn::Set(d, -128.0f)), hn::Set(d, 127.0f));
  hn::StoreU(hn::DemoteTo(di8, hn::ConvertTo(DI(), limited)), di8, codes);
}

template <typename Compute>
void quantize_token_as(const float* x, std::size_t count, float divisor, std::int8_t* codes) {
  const VF by = hn::Set(DF(), divisor);
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) quantize_vector<Compute>(x + i, by, codes + i);
  if (i == count) return;
  HWY_ALIGN float rest[kLanes] = {};
  HWY_ALIGN std::int8_t rest_codes[kLanes];
  std::memcpy(rest, x + i, (count - i) * sizeof(float));
  quantize_vector<Compute>(rest, by, rest_codes);
  std::memcpy(codes + i, rest_codes, count - i);
}

void quantize_token(const float* x, std::size_t count, float divisor, std::uint32_t dtype,
                    std::int8_t* codes) {
  if (dtype == OCTAVO_F32) return quantize_token_as<F32Target>(x, count, divisor, codes);
  if (dtype == OCTAVO_BF16) return quantize_token_as<Bf16Target>(x, count, divisor, codes);
  return quantize_token_as<F16Target>(x, count, divisor, codes);
}

template <typename Compute>
void round_to_as(const float* x, std::size_t count, float* target) {
  const DF d;
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) hn::StoreU(Compute::round(hn::LoadU(d, x + i)), d, target + i);
  if (i == count) return;
  HWY_ALIGN float rest[kLanes] = {};
  std::memcpy(rest, x + i, (count - i) * sizeof(float));
  hn::Store(Compute::round(hn::Load(d, rest)), d, rest);
  std::memcpy(target + i, rest, (count - i) * sizeof(float));
}

void round_to(const float* x, std::size_t count, std::uint32_t dtype, float* target) {
  if (dtype == OCTAVO_F32) return round_to_as<F32Target>(x, count, target);
  if (dtype == OCTAVO_BF16) return round_to_as<Bf16Target>(x, count, target);
  return round_to_as<F16Target>(x, count, target);
}

struct Rescale {
  VF token_scale;
  const float* scales;
  bool one_scale;
  const float* bias;
};

template <typename Compute>
HWY_INLINE VF rescale_vector(const std::int32_t* sums, const float* scales, const float* bias,
                             const Rescale& how) {
  const DF d;
  const VF scale = how.one_scale ? hn::Set(d, scales[0]) : hn::LoadU(d, scales);
  const VF y =
      Compute::round(hn::Mul(hn::ConvertTo(d, hn::LoadU(DI(), sums)), hn::Mul(how.token_scale, scale)));
  return bias == nullptr ? y : Compute::round(hn::Add(y, hn::LoadU(d, bias)));
}

template <typename Compute>
void rescale_as(const std::int32_t* sums, std::size_t count, const Rescale& how,
                typename Compute::Element* y) {
  std::size_t i = 0;
  const auto scales_at = [&](std::size_t at) { return how.one_scale ? how.scales : how.scales + at; };
  for (; i + kLanes <= count; i += kLanes) {
    const float* bias = how.bias == nullptr ? nullptr : how.bias + i;
    Compute::store(rescale_vector<Compute>(sums + i, scales_at(i), bias, how), y + i);
  }
  if (i == count) return;
  const std::size_t left = count - i;
  HWY_ALIGN std::int32_t rest_sums[kLanes] = {};
  HWY_ALIGN float rest_scales[kLanes] = {}, rest_bias[kLanes] = {};
  HWY_ALIGN typename Compute::Element rest_y[kLanes];
  std::memcpy(rest_sums, sums + i, left * sizeof(std::int32_t));
  std::memcpy(rest_scales, scales_at(i), (how.one_scale ? 1 : left) * sizeof(float));
  if (how.bias != nullptr) std::memcpy(rest_bias, how.bias + i, left * sizeof(float));
  const float* bias = how.bias == nullptr ? nullptr : rest_bias;
  Compute::store(rescale_vector<Compute>(rest_sums, rest_scales, bias, how), rest_y);
  std::memcpy(y + i, rest_y, left * sizeof(rest_y[0]));
}

void rescale(const std::int32_t* sums, std::size_t count, float token_scale, const float* scales,
             bool one_scale, const float* bias, std::uint32_t dtype, void* y) {
  const Rescale how{hn::Set(DF(), token_scale), scales, one_scale, bias};
  if (dtype == OCTAVO_F32) return rescale_as<F32Target>(sums, count, how, static_cast<float*>(y));
  if (dtype == OCTAVO_BF16) return rescale_as<Bf16Target>(sums, count, how, static_cast<std::uint16_t*>(y));
  return rescale_as<F16Target>(sums, count, how, static_cast<std::uint16_t*>(y));
}

constexpr AlgebraKernels kAlgebraKernels = {{kMergeCols, kLanes}, merge,    round_rows,
                                            quantize_token,       round_to, rescale};

#endif  // OCTAVO_CPU_KERNEL_TARGET
}  // namespace octavo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace octavo::cpu {

const AlgebraKernels* algebra_kernels(Simd simd) { OCTAVO_CPU_PICK(simd, kAlgebraKernels) }

}  // namespace octavo::cpu
#endif
