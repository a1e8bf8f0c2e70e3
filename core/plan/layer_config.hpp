// The layer config of `--layer-config`: a JSON object of regular expressions and what becomes of the layers
// that they match.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace octavo::plan {

// One entry as written. Which formats and modes there are is not checked here.
struct LayerConfigEntry {
  std::string name;              // the pattern, or "_default"
  std::size_t line = 0;          // of the entry's key, from 1
  bool skip = false;             // the layer stays as it is; nothing else matters
  std::string format;            // as --format takes it; never empty unless `skip`
  std::string optimizer;         // as --optimizer takes it; "": the run's
  std::string scaling_mode;      // tensor, row, block, axis; "": what the format says
  std::uint32_t block_size = 0;  // 0: not given
  bool simple = false;
  std::optional<bool> full_precision_matmul;
};

struct LayerConfig {
  std::string file;                           // for messages
  std::vector<LayerConfigEntry> entries;      // in the file's order, without "_default"
  std::optional<LayerConfigEntry> otherwise;  // "_default": for every layer that no entry matches
  std::vector<std::string> notes;             // keys that mean nothing
  std::string hash;                           // XXH3-128 of the text
};

// Throws Error bad_input, naming file, line and key, for anything that is not such an object.
LayerConfig parse_layer_config(std::string_view text, const std::string& file);

// Throws Error io for a file that cannot be read, and what parse_layer_config throws.
LayerConfig read_layer_config(const std::filesystem::path& path);

}  // namespace octavo::plan
