// Opening a plugin's library: the only place that loads code.
#pragma once

#include "plugin/descriptor.hpp"

#include <octavo/abi/plugin.h>

#include <filesystem>

namespace octavo::plugin {

struct Library {
  const octavo_plugin* raw;  // lives as long as the process
  Descriptor descriptor;     // checked: its id is the file's stem, its kind the folder's where that is known
};

// Checks the file (rights, ELF extents), loads it with all symbols bound and none shared, calls its entry
// function once, and checks every field of the descriptor. The library stays loaded until the process ends,
// also when it is refused. `path` is absolute. `kind`: what the file must be; nothing if only the descriptor
// knows. Throws Error unsupported or io with the reason as a sentence about the plugin ("it is truncated:
// ...").
Library open_library(const std::filesystem::path& path, std::optional<octavo_kind> kind);

}  // namespace octavo::plugin
