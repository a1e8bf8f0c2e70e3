// Markers: the small JSON objects that say how an INT8 layer is stored, as `<base>.comfy_quant` or as an
// entry of `_quantization_metadata`.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace octavo::int8 {

struct Marker {
  std::string format = {};             // "" where the marker does not say
  std::int64_t group_size = 0;         // edge of a block, 0 where the marker does not say
  bool full_precision = false;         // the loader is to dequantize at every forward
  bool convrot = false;                // the columns are rotated
  std::int64_t convrot_groupsize = 0;  // 0 where the marker does not say

  bool operator==(const Marker&) const = default;
};

// What is wrong with a marker: a short stable code, and a sentence.
struct MarkerFault {
  std::string code;
  std::string message;
};

// `marker` and `fault` are both there where a marker can be read although loaders stumble over it.
struct MarkerReading {
  std::optional<Marker> marker = {};
  std::optional<MarkerFault> fault = {};
};

// The bytes of a marker tensor: keys in the order format, group_size, full_precision_matrix_mult, convrot,
// convrot_groupsize, separators ", " and ": ". Comparing files of different tools becomes comparing bytes.
std::string marker_text(const Marker& marker);

// Reads a marker of any origin: any spacing and order of keys, unknown keys, ConvRot keys within a nested
// `params` object. Never throws on account of the bytes.
MarkerReading read_marker(std::string_view bytes);

// The same for an object that has been parsed.
MarkerReading read_marker(const nlohmann::json& object);

// Parses text whose origin is not trusted: nothing for invalid JSON and for nesting deeper than 16.
std::optional<nlohmann::json> parse_json(std::string_view text);

}  // namespace octavo::int8
