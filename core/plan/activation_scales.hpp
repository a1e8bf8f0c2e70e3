// Static scales of activations: what is known of them before anything is read.
#pragma once

#include "plan/plan.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace octavo::plan {

// The static scale of activations whose largest magnitude is `absmax`: absmax / 127, at least 1e-30.
float activation_scale(float absmax);

// The scale, if the calibration says it without its rows being read. Not for a smoothed layer, whose inputs
// are others than those that were recorded.
std::optional<float> stated_activation_scale(const PlannedLayer& layer);

// It is stated, or a run can find it.
bool knows_activation_scale(const PlannedLayer& layer);

// What a person who asked for activation scales should know, in a plan with a calibration; `unit_scales`:
// layers whose scale is 1, because nothing is known.
std::vector<std::string> activation_scale_warnings(const Plan& plan, size_t unit_scales);

// F32, every element the same.
std::vector<std::byte> equal_scales(float scale, uint64_t elements);

}  // namespace octavo::plan
