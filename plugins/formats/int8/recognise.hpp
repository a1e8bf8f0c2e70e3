// Finding the INT8 layers of a file, whoever wrote it.
#pragma once

#include "int8/claims.hpp"

#include <octavo/format.hpp>

namespace octavo::int8 {

// Reports every layer of the layout with its codes, scale, marker and activation scale, and what is wrong
// with those that claim to be one. A layer whose codes can be dequantized is reported even if some loader
// stumbles over it. Markers that no format can be found for are reported with Layout::plain. Codes of
// findings: marker-not-json, marker-nul-padded, marker-format-missing, marker-value, marker-dtype,
// metadata-not-json, metadata-too-large, metadata-layers-missing, metadata-disagrees, weight-missing,
// weight-dtype, weight-shape, scale-missing, scale-dtype, scale-shape, block-size, convrot-group,
// convrot-group-missing, input-scale.
void recognise(const HeaderView& header, Layout layout, const Recognition& recognition);

}  // namespace octavo::int8
