// What each program makes of one quantized layer.
//
// The rules are those of ComfyUI 0.38.1 (int8_tensorwise since 0.27.0), comfy-kitchen 0.2.36, Forge Neo's
// port of ComfyUI's loader, stable-diffusion.cpp and InvokeAI of August 2026, ComfyUI-INT8-Fast of April 2026
// and newer, and ComfyUI-QuantOps.
#pragma once

#include "consumers/consumers.hpp"

#include <string>

namespace octavo::cli {

struct Opinion {
  Loads loads = Loads::yes;
  size_t version = 0;  // index into the program's versions; 0: any
  std::string reason;  // "" where there is nothing to say
};

// What is said about a layer: by the marker, or first by the metadata for programs with `reads_metadata`,
// which let it win. nullptr if nothing is.
const MarkerForm* marker_for(const LayerForm& layer, bool reads_metadata);

// `marker` is marker_for() of the program, or nullptr.
Opinion comfyui_layer(const LayerForm& layer, const MarkerForm* marker);
Opinion comfy_kitchen_layer(const LayerForm& layer, const MarkerForm* marker);
Opinion forge_neo_layer(const LayerForm& layer, const MarkerForm* marker);
Opinion stable_diffusion_cpp_layer(const LayerForm& layer, const MarkerForm* marker);
Opinion int8_fast_layer(const LayerForm& layer, const MarkerForm* marker);
Opinion quantops_layer(const LayerForm& layer, const MarkerForm* marker);
Opinion invokeai_layer(const LayerForm& layer, const MarkerForm* marker);
Opinion diffusers_layer(const LayerForm& layer, const MarkerForm* marker);

}  // namespace octavo::cli
