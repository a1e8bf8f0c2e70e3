// Conversions between float dtypes, half to even. F64 is rounded to f32 first.
#pragma once

#include <octavo/abi/backend.h>

#include <cstdint>

namespace octavo::reference {

// An infinity or NaN stays what it is, as far as the dtype has it, unless OCTAVO_TILE_ZERO_NONFINITE is set.
octavo_status cast(octavo_lane*, const octavo_tensor* source, octavo_tensor* target, std::uint32_t flags,
                   octavo_cast_result* result, octavo_error* error);

}  // namespace octavo::reference
