// A format plugin in use.
#pragma once

#include "plugin/header.hpp"
#include "plugin/instance.hpp"

#include <octavo/abi/format.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace octavo::plugin {

// How a layer is stored: the grid, or (nothing) refused for the reason in `note`.
struct Placement {
  std::optional<octavo_grid> grid;
  bool fallback = false;  // not as asked for; `note` says why
  std::string stored_as;  // the format's name in the marker, "" if there is none
  std::string note;
};

// A tensor that a layer makes in the file. `bytes` is the whole tensor for the roles CONSTANT and MARKER,
// else empty.
struct Entry {
  octavo_role role = OCTAVO_ROLE_CODES;
  std::string key;
  octavo_dtype dtype = OCTAVO_U8;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;
};

struct RecognisedEntry {
  octavo_role role = OCTAVO_ROLE_CODES;
  std::uint64_t tensor = 0;  // index in the header
};

// A layer that a format found in a file.
struct RecognisedLayer {
  std::string name;
  std::uint32_t flags = 0;  // OCTAVO_ENTRIES_*
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  octavo_grid grid{};
  std::vector<RecognisedEntry> entries;
};

// What is odd about the way a file stores a layer. severity: octavo_severity.
struct Finding {
  std::uint32_t severity = 0;
  std::string code;
  std::string tensor;
  std::string message;
  std::string hint = {};  // what to do about it; "" where that is not known
};

struct Recognised {
  std::vector<RecognisedLayer> layers;
  std::vector<Finding> findings;
};

// The stored tensors of one layer, by role. Both may throw; offsets are bytes within the tensor.
struct Storage {
  std::function<void(octavo_role role, std::uint64_t offset, std::span<const std::byte> bytes)> write;
  std::function<void(octavo_role role, std::uint64_t offset, std::span<std::byte> bytes)> read;
};

// Members may be called from any thread. What a plugin returns is checked: a grid or entry that makes no
// sense is an Error failed that names the plugin.
class Format {
 public:
  Format(const octavo_plugin& plugin, const octavo_host* host, const Values& values)
      : instance_(plugin, host, values) {}

  const std::string& id() const { return instance_.who(); }
  Placement grid(const octavo_layer& layer) const;
  // In the plugin's order; exactly one has the role CODES. `flags`: OCTAVO_ENTRIES_*.
  std::vector<Entry> entries(const octavo_layer& layer, const octavo_grid& grid, std::uint32_t flags) const;
  Recognised recognise(const Header& header) const;

  // True if codes or scales are stored otherwise than row by row; then encode and decode must be used.
  bool packs() const { return instance_.api().encode != nullptr; }
  // `tile`: codes, scales and zero points in host memory.
  void encode(const octavo_tile& tile, const Storage& storage) const;
  void decode(const octavo_tile& tile, const Storage& storage) const;

 private:
  Instance<octavo_format_api> instance_;
};

}  // namespace octavo::plugin
