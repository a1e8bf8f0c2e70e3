// Which layers of a file are scaled FP8.
#pragma once

#include <octavo/format.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace octavo::float8 {

inline constexpr const char* kFormat = "float8_e4m3fn";

struct Claim {
  std::string base;
  std::string scale_ending;             // ".weight_scale", or the legacy ".scale_weight"
  std::optional<std::uint64_t> marker;  // the marker tensor
  bool marked = false;                  // by a marker or an entry of `_quantization_metadata`
  bool full_precision = false;

  bool is_legacy() const { return scale_ending == ".scale_weight"; }
};

// By name: layers that a marker or `_quantization_metadata` (which overrules markers, as in ComfyUI) calls
// float8_e4m3fn, and F8_E4M3 weights with a scale beside them that no marker speaks of.
std::vector<Claim> claims_of(const HeaderView& header);

}  // namespace octavo::float8
