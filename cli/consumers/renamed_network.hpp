// Networks in diffusers' layout whose keys ComfyUI and Forge Neo rename when they load them.
//
// Only the keys of weights and biases are renamed, and several weights become slices of one: scales and
// markers stay behind under the old names, and codes are taken for the weight itself (ComfyUI's issue 14847).
// Files of floats load as they should.
#pragma once

#include "consumers/stored_file.hpp"

#include <optional>
#include <string_view>

namespace octavo::cli {

struct RenamedNetwork {
  const char* family = "";
  std::string_view prefix = {};  // of the network's keys: all layers behind it are renamed
};

// The network is told by keys that its family alone has in this layout: Qwen-Image, whose native layout uses
// names like these, is not renamed. The answer refers to the names of `file`.
std::optional<RenamedNetwork> renamed_network(const StoredFile& file);

}  // namespace octavo::cli
