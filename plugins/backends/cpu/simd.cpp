#include "simd.hpp"

#include <octavo/plugin.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <hwy/highway.h>

#include <cstdlib>
#include <string_view>
#include <utility>
#include <vector>

namespace octavo::cpu {
namespace {

struct Named {
  std::string_view name;
  Simd simd;
};

// Best first.
std::vector<Named> available() {
  const auto supported = hwy::SupportedTargets();
  std::vector<Named> found;
  if ((supported & OCTAVO_CPU_HAS_AVX512) != 0) found.push_back({"avx512", Simd::avx512});
  if ((supported & OCTAVO_CPU_HAS_AVX2) != 0) found.push_back({"avx2", Simd::avx2});
  found.push_back({"scalar", Simd::scalar});
  return found;
}

}  // namespace

Simd pick_simd() {
  const std::vector<Named> there = available();
  const char* wanted = std::getenv("OCTAVO_SIMD");
  if (wanted == nullptr || *wanted == '\0') return there.front().simd;
  std::vector<std::string_view> names;
  for (const Named& entry : there) {
    if (entry.name == wanted) return entry.simd;
    names.push_back(entry.name);
  }
  throw PluginError(
      OCTAVO_BAD_ARGUMENT,
      fmt::format("[cpu] OCTAVO_SIMD is '{}'; this machine has {}", wanted, fmt::join(names, ", ")),
      "unset OCTAVO_SIMD for the fastest one");
}

std::string simd_title(Simd simd) {
  switch (simd) {
    case Simd::avx512:
      return "AVX-512";
    case Simd::avx2:
      return "AVX2";
    default:
      return "no vector instructions";
  }
}

}  // namespace octavo::cpu
