#include "plan/activation_scales.hpp"

#include "base/words.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>

namespace octavo::plan {
namespace {

// In another basis than the plain one a maximum of |x| says too little.
bool maxima_say_enough(const PlannedLayer& layer) {
  return !layer.inputs->contents.channel_max.empty() && layer.grid.basis == OCTAVO_BASIS_PLAIN;
}

}  // namespace

float activation_scale(float absmax) { return std::max(absmax / 127.0F, 1e-30F); }

std::optional<float> stated_activation_scale(const PlannedLayer& layer) {
  if (layer.inputs == nullptr || layer.origin.columns != nullptr) return std::nullopt;
  const calibration::LayerContents& known = layer.inputs->contents;
  if (known.input_scale) return known.input_scale;
  if (layer.inputs->has_samples() || !maxima_say_enough(layer)) return std::nullopt;
  return activation_scale(*std::max_element(known.channel_max.begin(), known.channel_max.end()));
}

bool knows_activation_scale(const PlannedLayer& layer) {
  if (stated_activation_scale(layer)) return true;
  if (layer.inputs == nullptr) return false;
  if (layer.inputs->has_samples() && layer.inputs->contents.recorded) return true;
  return layer.origin.columns != nullptr && maxima_say_enough(layer);
}

std::vector<std::string> activation_scale_warnings(const Plan& plan, size_t unit_scales) {
  std::vector<std::string> warnings;
  if (unit_scales > 0) {
    warnings.push_back(fmt::format("{} with an activation scale of 1: nothing is known about their inputs",
                                   plural(unit_scales, "layer")));
  }
  if (!plan.settings.static_activations || plan.settings.input_scale) return warnings;
  const auto unknown = std::count_if(plan.layers.begin(), plan.layers.end(), [](const auto& layer) {
    return layer->grid.code != OCTAVO_CODE_CAST && !knows_activation_scale(*layer);
  });
  if (unknown > 0) {
    warnings.push_back(fmt::format(
        "{} without an activation scale, because too little is known about their inputs; loaders quantize "
        "their activations as they come",
        plural(static_cast<uint64_t>(unknown), "layer")));
  }
  return warnings;
}

std::vector<std::byte> equal_scales(float scale, uint64_t elements) {
  const std::vector<float> scales(elements, scale);
  const auto raw = std::as_bytes(std::span(scales));
  return {raw.begin(), raw.end()};
}

}  // namespace octavo::plan
