// Each scan first counts in a loop that compilers turn into vector code, and looks for places only where the
// count says that there are some: clean data is read at the speed of memory.
#include "report/scan.hpp"

#include "base/error.hpp"
#include "checkpoint/dtypes.hpp"

#include <octavo/tensor.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace octavo::report {
namespace {

constexpr size_t kBlock = 4096;  // elements counted at a time

// The bit pattern of a float dtype: `exponent` all ones is not finite; NaN if a bit of `mantissa` is set.
template <typename Bits>
struct Pattern {
  Bits exponent;
  Bits mantissa;
};

template <typename Bits>
Bits element(const std::byte* bytes, size_t index) {
  Bits value;
  std::memcpy(&value, bytes + index * sizeof(Bits), sizeof value);
  return value;
}

// Calls each(i) for the elements for which `is_odd` holds.
template <typename Bits, typename IsOdd, typename Each>
void visit_odd(std::span<const std::byte> bytes, IsOdd is_odd, Each each) {
  const size_t count = bytes.size() / sizeof(Bits);
  for (size_t begin = 0; begin < count; begin += kBlock) {
    const size_t end = std::min(count, begin + kBlock);
    Bits odd = 0;
    for (size_t i = begin; i < end; ++i) {
      odd |= static_cast<Bits>(is_odd(element<Bits>(bytes.data(), i)) ? 1 : 0);
    }
    if (odd == 0) continue;
    for (size_t i = begin; i < end; ++i) {
      if (is_odd(element<Bits>(bytes.data(), i))) each(i);
    }
  }
}

template <typename Bits>
NonFinite scan_pattern(std::span<const std::byte> bytes, Pattern<Bits> pattern, uint64_t first) {
  NonFinite result;
  visit_odd<Bits>(
      bytes, [&](Bits value) { return (value & pattern.exponent) == pattern.exponent; },
      [&](size_t i) {
        const bool nan = (element<Bits>(bytes.data(), i) & pattern.mantissa) != 0;
        (nan ? result.nans : result.infinities).add(first + i);
      });
  return result;
}

// 8-bit floats without infinities: NaN is one magnitude, or one pattern.
NonFinite scan_bytes(std::span<const std::byte> bytes, uint8_t mask, uint8_t nan, uint64_t first) {
  NonFinite result;
  visit_odd<uint8_t>(
      bytes, [&](uint8_t value) { return (value & mask) == nan; },
      [&](size_t i) { result.nans.add(first + i); });
  return result;
}

float scale_value(octavo_dtype dtype, const std::byte* bytes, size_t index) {
  switch (dtype) {
    case OCTAVO_F32:
      return element<float>(bytes, index);
    case OCTAVO_BF16:
      return from_bf16(element<uint16_t>(bytes, index));
    case OCTAVO_F16:
      return from_f16(element<uint16_t>(bytes, index));
    case OCTAVO_F8_E8M0: {
      const auto exponent = element<uint8_t>(bytes, index);
      return exponent == 0xff ? std::numeric_limits<float>::quiet_NaN() : std::ldexp(1.0f, exponent - 127);
    }
    case OCTAVO_F8_E4M3:
    case OCTAVO_F8_E5M2:
      return from_f8(element<uint8_t>(bytes, index), dtype);
    default:
      throw Error(ErrorCode::unsupported,
                  fmt::format("[verify] scales of dtype {}", checkpoint::name(dtype)));
  }
}

}  // namespace

void Found::add(const Found& other) {
  if (other.count == 0) return;
  first = count == 0 || other.first < first ? other.first : first;
  count += other.count;
}

bool can_be_nonfinite(octavo_dtype dtype) {
  return (checkpoint::is_float(dtype) && checkpoint::bits(dtype) >= 8) || dtype == OCTAVO_C64;
}

NonFinite scan_nonfinite(octavo_dtype dtype, std::span<const std::byte> bytes, uint64_t first) {
  switch (dtype) {
    case OCTAVO_F64:
      return scan_pattern<uint64_t>(bytes, {0x7ff0000000000000u, 0x000fffffffffffffu}, first);
    case OCTAVO_F32:
    case OCTAVO_C64:
      return scan_pattern<uint32_t>(bytes, {0x7f800000u, 0x007fffffu}, first);
    case OCTAVO_F16:
      return scan_pattern<uint16_t>(bytes, {0x7c00u, 0x03ffu}, first);
    case OCTAVO_BF16:
      return scan_pattern<uint16_t>(bytes, {0x7f80u, 0x007fu}, first);
    case OCTAVO_F8_E5M2:
      return scan_pattern<uint8_t>(bytes, {0x7cu, 0x03u}, first);
    case OCTAVO_F8_E4M3:
      return scan_bytes(bytes, 0x7f, 0x7f, first);
    case OCTAVO_F8_E4M3FNUZ:
    case OCTAVO_F8_E5M2FNUZ:
      return scan_bytes(bytes, 0xff, 0x80, first);
    case OCTAVO_F8_E8M0:
      return scan_bytes(bytes, 0xff, 0xff, first);
    default:
      return {};
  }
}

Found scan_codes(std::span<const std::byte> bytes, int32_t least, int32_t most, uint64_t first) {
  Found result;
  const int32_t low = std::max<int32_t>(least, INT8_MIN), high = std::min<int32_t>(most, INT8_MAX);
  // One unsigned comparison of bytes: code - low wraps around for codes below low.
  const auto offset = static_cast<uint8_t>(low), range = static_cast<uint8_t>(high - low);
  visit_odd<uint8_t>(
      bytes, [&](uint8_t code) { return static_cast<uint8_t>(code - offset) > range; },
      [&](size_t i) { result.add(first + i); });
  return result;
}

Found scan_scales(octavo_dtype dtype, std::span<const std::byte> bytes, uint64_t first) {
  const size_t width = bytes_of(static_cast<uint32_t>(dtype));
  Found result;
  for (size_t i = 0; width > 0 && i < bytes.size() / width; ++i) {
    const float scale = scale_value(dtype, bytes.data(), i);
    if (!(std::isfinite(scale) && scale > 0)) result.add(first + i);
  }
  return result;
}

bool all_zero(std::span<const std::byte> bytes) {
  uint8_t any = 0;
  for (const std::byte byte : bytes) any |= static_cast<uint8_t>(byte);
  return any == 0;
}

}  // namespace octavo::report
