// Distance: insertions, deletions, substitutions and swaps of neighbours (optimal string alignment), each 1.
#include "suggest.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

namespace octavo::cli {
namespace {

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), now(b.size() + 1);
  std::iota(last.begin(), last.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    now[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      now[j] = std::min({last[j] + 1, now[j - 1] + 1, substituted});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) now[j] = std::min(now[j], before[j - 2] + 1);
    }
    before.swap(last);
    last.swap(now);
  }
  return last[b.size()];
}

}  // namespace

std::vector<std::string> nearest_names(std::string_view name, const std::vector<std::string>& names) {
  constexpr size_t kShown = 3;
  const size_t farthest = std::max<size_t>(1, name.size() / 3);
  std::vector<std::pair<size_t, std::string>> near;
  for (const std::string& candidate : names) {
    const bool begins = name.size() >= 3 && candidate.starts_with(name);
    const size_t distance = begins ? 1 : edit_distance(name, candidate);
    if (distance <= farthest) near.emplace_back(distance, candidate);
  }
  std::sort(near.begin(), near.end());
  std::vector<std::string> result;
  for (const auto& [distance, candidate] : near) {
    if (distance > near.front().first + 1 || result.size() == kShown) break;
    result.push_back(candidate);
  }
  return result;
}

std::string suggestion(std::string_view name, const std::vector<std::string>& names,
                       std::string_view prefix) {
  std::vector<std::string> near = nearest_names(name, names);
  if (near.empty()) return {};
  for (std::string& candidate : near) candidate.insert(0, prefix);
  return fmt::format("did you mean {}?", fmt::join(near, " or "));
}

}  // namespace octavo::cli
