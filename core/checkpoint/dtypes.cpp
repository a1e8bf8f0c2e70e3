#include "checkpoint/dtypes.hpp"

#include "base/bytes.hpp"

#include <array>

namespace octavo::checkpoint {
namespace {

struct Description {
  const char* name;
  int bits;
  bool is_float;
};

// Indexed by octavo_dtype.
constexpr std::array<Description, OCTAVO_DTYPE_COUNT> kDescriptions{{
    {"BOOL", 8, false},   {"F4", 4, true},          {"F6_E2M3", 6, true},     {"F6_E3M2", 6, true},
    {"U8", 8, false},     {"I8", 8, false},         {"F8_E5M2", 8, true},     {"F8_E4M3", 8, true},
    {"F8_E8M0", 8, true}, {"F8_E4M3FNUZ", 8, true}, {"F8_E5M2FNUZ", 8, true}, {"I16", 16, false},
    {"U16", 16, false},   {"F16", 16, true},        {"BF16", 16, true},       {"I32", 32, false},
    {"U32", 32, false},   {"F32", 32, true},        {"C64", 64, false},       {"F64", 64, true},
    {"I64", 64, false},   {"U64", 64, false},
}};
static_assert(OCTAVO_U64 == OCTAVO_DTYPE_COUNT - 1);

constexpr Description kUnknown{"?", 0, false};

const Description& describe(octavo_dtype dtype) {
  const auto index = static_cast<size_t>(dtype);
  return index < kDescriptions.size() ? kDescriptions[index] : kUnknown;
}

}  // namespace

const char* name(octavo_dtype dtype) { return describe(dtype).name; }
int bits(octavo_dtype dtype) { return describe(dtype).bits; }
bool is_float(octavo_dtype dtype) { return describe(dtype).is_float; }

std::optional<octavo_dtype> dtype_from_name(std::string_view name) {
  for (size_t i = 0; i < kDescriptions.size(); ++i)
    if (name == kDescriptions[i].name) return static_cast<octavo_dtype>(i);
  return std::nullopt;
}

std::optional<uint64_t> element_count(std::span<const uint64_t> shape) {
  uint64_t product = 1;
  bool empty = false;
  for (const uint64_t dim : shape) {
    if (dim == 0) {
      empty = true;
      continue;
    }
    const std::optional<uint64_t> next = checked_mul(product, dim);
    if (!next) return std::nullopt;
    product = *next;
  }
  return empty ? 0 : product;
}

std::optional<uint64_t> byte_count(octavo_dtype dtype, std::span<const uint64_t> shape) {
  const std::optional<uint64_t> elements = element_count(shape);
  const std::optional<uint64_t> total =
      elements ? checked_mul(*elements, static_cast<uint64_t>(bits(dtype))) : std::nullopt;
  if (!total || *total % 8 != 0) return std::nullopt;
  return *total / 8;
}

}  // namespace octavo::checkpoint
