// Values that a layer cannot be stored with.
#pragma once

#include "plan/plan.hpp"

#include <octavo/abi/backend.h>
#include <octavo/abi/grid.h>

namespace octavo::run {

// Throw Error bad_input, with the place of the first one, where the settings do not say what becomes of them.
// `tile`: what was quantized or measured; its results are finished.
void check_values(const plan::Settings& settings, const plan::PlannedLayer& layer, const octavo_tile& tile,
                  const octavo_tile_result& result);
void check_values(const plan::Settings& settings, const plan::PlannedLayer& layer, const octavo_tile& tile,
                  const octavo_absmax_result& result);

}  // namespace octavo::run
