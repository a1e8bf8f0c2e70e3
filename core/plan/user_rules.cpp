#include "plan/user_rules.hpp"

#include "base/error.hpp"
#include "stored/quantized_layers.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace octavo::plan {
namespace {

constexpr std::size_t kMaxWarnings = 20;  // looking for the nearest key is slow, and nobody reads on

// Entries in the order in which they win over one another.
std::vector<std::size_t> by_closeness(const LayerRules& rules) {
  std::vector<std::pair<PatternRank, std::size_t>> order;
  for (std::size_t i = 0; i < rules.config.size(); ++i) {
    if (rules.config[i].pattern) order.emplace_back(rank_of(rules.config[i].pattern->text()), i);
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return is_closer(a.first, b.first); });
  std::vector<std::size_t> indices;
  indices.reserve(order.size());
  for (const auto& [rank, index] : order) indices.push_back(index);
  return indices;
}

std::ptrdiff_t default_entry(const LayerRules& rules) {
  const auto found = std::find_if(rules.config.begin(), rules.config.end(),
                                  [](const ConfiguredLayers& entry) { return !entry.pattern; });
  return found == rules.config.end() ? -1 : found - rules.config.begin();
}

}  // namespace

UserRules::UserRules(const LayerRules& rules, const checkpoint::Checkpoint& source) {
  const std::size_t count = source.tensors().size();
  config_.assign(count, -1);
  custom_.assign(count, false);
  excluded_.assign(count, false);
  if (rules.config.empty() && !rules.custom && !rules.exclude) return;
  std::vector<std::string> keys;
  std::vector<std::string> layers;
  for (const checkpoint::TensorRef& tensor : source.tensors()) {
    keys.push_back(tensor.info.name);
    layers.emplace_back(stored::base_name(tensor.info.name));
  }
  match_config(rules, layers);
  custom_ =
      match(rules.custom ? std::optional(rules.custom->pattern) : std::nullopt, "--custom-layers", keys);
  excluded_ = match(rules.exclude, "--exclude-layers", keys);
  if (without_match_ > kMaxWarnings)
    warnings_.push_back(fmt::format("{} more patterns match nothing", without_match_ - kMaxWarnings));
}

void UserRules::match_config(const LayerRules& rules, const std::vector<std::string>& keys) {
  for (const std::size_t entry : by_closeness(rules)) {
    const Pattern& pattern = *rules.config[entry].pattern;
    bool any = false;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (config_[i] >= 0 && any) continue;  // decided, and the pattern is known to match something
      if (!(rules.full_match ? pattern.full_match(keys[i]) : pattern.search(keys[i]))) continue;
      any = true;
      if (config_[i] < 0) config_[i] = static_cast<std::ptrdiff_t>(entry);
    }
    if (!any) warn("the layer config's", pattern, keys);
  }
  const std::ptrdiff_t otherwise = default_entry(rules);
  std::replace(config_.begin(), config_.end(), std::ptrdiff_t{-1}, otherwise);
}

std::vector<bool> UserRules::match(const std::optional<Pattern>& pattern, const std::string& option,
                                   const std::vector<std::string>& keys) {
  std::vector<bool> matches(keys.size(), false);
  if (!pattern) return matches;
  for (std::size_t i = 0; i < keys.size(); ++i) matches[i] = pattern->search(keys[i]);
  if (std::find(matches.begin(), matches.end(), true) == matches.end()) warn(option, *pattern, keys);
  return matches;
}

void UserRules::warn(const std::string& rule, const Pattern& pattern, const std::vector<std::string>& keys) {
  if (++without_match_ > kMaxWarnings) return;
  std::vector<std::string> nearest;
  for (const std::string& key : nearest_keys(pattern.text(), keys)) nearest.push_back(printable(key));
  warnings_.push_back(
      fmt::format("{} pattern '{}' matches nothing{}", rule, printable(pattern.text()),
                  nearest.empty() ? "" : fmt::format("; near it: {}", fmt::join(nearest, ", "))));
}

}  // namespace octavo::plan
