// The layers of a checkpoint by every name that a LoRA may have for them.
#pragma once

#include "checkpoint/reader.hpp"
#include "lora/layouts.hpp"
#include "lora/names.hpp"

#include <map>
#include <optional>
#include <set>
#include <string>

namespace octavo::lora {

// A layer: its key without ".weight" or ".bias".
struct FoundLayer {
  std::string base;
  Slice slice = Slice::whole;
};

class Targets {
 public:
  explicit Targets(const checkpoint::Checkpoint& source);

  // Nothing where no layer has the name, or several.
  std::optional<FoundLayer> find(const NetworkName& wanted) const;
  // The checkpoint says by a prefix that it holds this part (a text encoder, say).
  bool names_part(const std::string& part) const { return parts_.contains(part); }

 private:
  struct Entry {
    FoundLayer layer;
    bool ambiguous = false;
  };
  using Names = std::map<std::string, Entry>;

  static void put(Names& names, const std::string& name, const FoundLayer& layer);

  Names names_;    // "part|name", folded, of the checkpoint's own names
  Names aliases_;  // of other layouts
  Names endings_;  // of what follows a dot in the diffusion model's names
  std::set<std::string> parts_;
};

}  // namespace octavo::lora
