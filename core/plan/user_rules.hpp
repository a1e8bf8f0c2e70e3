// The rules that a user gave, brought together with the keys of a checkpoint: layer config, custom layers,
// excluded layers.
#pragma once

#include "checkpoint/reader.hpp"
#include "plan/settings.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace octavo::plan {

// Every pattern is held against every layer once, when this is made.
class UserRules {
 public:
  // Throws what Pattern throws.
  UserRules(const LayerRules& rules, const checkpoint::Checkpoint& source);

  // Index into LayerRules::config of the entry that a tensor's key is for, or -1. `tensor`: its index.
  std::ptrdiff_t config_entry(std::size_t tensor) const { return config_[tensor]; }
  bool is_custom(std::size_t tensor) const { return custom_[tensor]; }
  bool is_excluded(std::size_t tensor) const { return excluded_[tensor]; }

  // A sentence for every pattern that matches nothing, with the nearest keys.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  void match_config(const LayerRules& rules, const std::vector<std::string>& keys);
  std::vector<bool> match(const std::optional<Pattern>& pattern, const std::string& option,
                          const std::vector<std::string>& keys);
  void warn(const std::string& rule, const Pattern& pattern, const std::vector<std::string>& keys);

  std::vector<std::ptrdiff_t> config_;
  std::vector<bool> custom_;
  std::vector<bool> excluded_;
  std::vector<std::string> warnings_;
  std::size_t without_match_ = 0;
};

}  // namespace octavo::plan
