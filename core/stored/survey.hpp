// What a checkpoint stores: the layers that formats recognise in it, and the tensors that belong to each.
#pragma once

#include "checkpoint/reader.hpp"
#include "plugin/format.hpp"

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace octavo::stored {

struct Entry {
  octavo_role role = OCTAVO_ROLE_CODES;
  const checkpoint::TensorRef* tensor = nullptr;
};

// A quantized layer of a file.
struct Layer {
  std::string name;  // base name
  const plugin::Format* format = nullptr;
  octavo_grid grid{};
  int64_t rows = 0;  // of the layer, before padding
  int64_t cols = 0;
  uint32_t flags = 0;  // OCTAVO_ENTRIES_*
  std::vector<Entry> entries;

  const checkpoint::TensorRef* find(octavo_role role) const;  // nullptr where there is none
  uint64_t bytes() const;                                     // of all its tensors
};

// Refers to the checkpoint and the formats, which outlive it.
struct Survey {
  std::vector<Layer> layers;  // by name
  std::vector<plugin::Finding> findings;
  std::vector<bool> owned;  // for each tensor of the checkpoint: it belongs to a layer

  const Layer* find(std::string_view name) const;  // nullptr where there is none
};

// Asks every format, in the order given. A layer that two formats claim is the first one's, with a finding.
// Throws Error as formats and reading markers do.
Survey survey(const checkpoint::Checkpoint& file, std::span<const std::unique_ptr<plugin::Format>> formats);

}  // namespace octavo::stored
