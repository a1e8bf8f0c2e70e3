// What a file writes before the names of its network's tensors.
#pragma once

#include <array>
#include <string_view>

namespace octavo::stored {

// `_quantization_metadata` may name a layer without the prefix that its tensors have: loaders cut it off
// first and look the names up again. In the order in which they are tried.
inline constexpr std::array<std::string_view, 4> kHeaderPrefixes = {"", "model.diffusion_model.",
                                                                    "model.model.", "net."};

}  // namespace octavo::stored
