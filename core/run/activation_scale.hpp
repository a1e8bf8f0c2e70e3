// The static scale of a layer's activations, from the inputs that were kept.
#pragma once

#include "calibration/calibration.hpp"
#include "plan/plan.hpp"
#include "plugin/backend.hpp"
#include "run/slot.hpp"

namespace octavo::run {

// plan::activation_scale of the largest magnitude in the grid's basis over the rows that are known of the
// layer's inputs, as they are after smoothing. Uses the slot's memory and waits for the lane. Throws as
// reading and lanes do.
float activation_scale(const plan::PlannedLayer& layer, const calibration::Calibration& calibration,
                       plugin::Lane& lane, Slot& slot);

}  // namespace octavo::run
