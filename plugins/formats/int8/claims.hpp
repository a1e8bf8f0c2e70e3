// Which layers of a file claim to be INT8, and who reads them.
//
// A layer is claimed by its marker tensor, by an entry of `_quantization_metadata` (which ComfyUI lets win
// over the marker), or by legacy keys: an I8 weight with `.scale_weight` and no marker. Each claim belongs to
// exactly one format, so that no layer is reported twice.
#pragma once

#include "int8/marker.hpp"

#include <octavo/format.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace octavo::int8 {

// One for each INT8 format.
enum class Layout { plain, convrot, blockwise, axiswise };

struct Claim {
  Layout layout;
  std::string base;                     // name of the layer as in the file
  std::string said_by;                  // tensor that a finding about the claim names
  std::string weight;                   // key of the weight, "" if there is none
  Marker marker;                        // of a legacy claim: what the scale's shape implies
  std::optional<std::uint64_t> tensor;  // the marker tensor
  bool legacy = false;
  std::vector<Finding> findings;
};

struct Claims {
  std::vector<Claim> layers;
  // Markers that cannot be attributed to any format.
  std::vector<Finding> unreadable;
};

// Every INT8 claim of the header; claims of other formats are left out.
Claims claims_of(const HeaderView& header);

}  // namespace octavo::int8
