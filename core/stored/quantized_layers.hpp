// Layers that a checkpoint already holds in a quantized form, and the tensors that belong to each.
#pragma once

#include "checkpoint/reader.hpp"

#include <map>
#include <string>
#include <string_view>

namespace octavo::stored {

// "a.b" of "a.b.weight"; a key without that ending is its own base.
std::string_view base_name(std::string_view key);

// For every layer with a scale, a marker or an entry in `_quantization_metadata` beside its weight: base name
// to what gave it away. Plain float layers are not in it.
std::map<std::string, std::string, std::less<>> quantized_layers(const checkpoint::Checkpoint& source);

// The base name of the quantized layer that a tensor is a part of (weight, scale, marker, zero point), or "".
std::string_view owner_of(std::string_view key,
                          const std::map<std::string, std::string, std::less<>>& quantized_layers);

// `_quantization_metadata` of the source cut down to the layers that stay as they are: layer name to JSON
// text.
std::map<std::string, std::string> kept_quantization_metadata(
    const checkpoint::Checkpoint& source, const std::map<std::string, std::string, std::less<>>& kept_layers);

}  // namespace octavo::stored
