// The manifest `<id>.json` beside a plugin's library: its descriptor, so that listing, help and --set need
// not open the library. Written by the SDK's octavo-manifest when a plugin is built.
#pragma once

#include "plugin/descriptor.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>

namespace octavo::plugin {

struct Manifest {
  Descriptor descriptor;
  std::uint64_t library_bytes = 0;  // size of the library that it describes
};

// The path of a library's manifest: the same with the suffix .json.
std::filesystem::path manifest_path(const std::filesystem::path& library);

// Reads and checks the manifest of `library`; nothing if there is none. Throws Error unsupported with the
// reason if it is not a manifest of this schema, is larger than 1 MiB, nests deeper than 8 levels, fails a
// check of check_descriptor, or is stale: the library's size is not the one it names.
std::optional<Manifest> read_manifest(const std::filesystem::path& library);

}  // namespace octavo::plugin
