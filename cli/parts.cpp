#include "parts.hpp"

#include <algorithm>
#include <map>
#include <string_view>

namespace octavo::cli {
namespace {

using checkpoint::TensorRef;

constexpr size_t kShown = 12;

// The component of `key` that begins at `from`, if a dot ends it; else "".
std::string_view component(std::string_view key, size_t from) {
  const size_t dot = key.find('.', from);
  return dot == key.npos ? std::string_view{} : key.substr(from, dot - from);
}

bool is_number(std::string_view text) { return text.find_first_not_of("0123456789") == text.npos; }

// The longest prefix of whole components that all of `keys` share, numbers excluded. `prefix` ends in a dot.
std::string extended(std::string prefix, const std::vector<std::string_view>& keys) {
  while (true) {
    const std::string_view next = component(keys.front(), prefix.size());
    if (next.empty() || is_number(next)) return prefix;
    const bool shared = std::all_of(keys.begin(), keys.end(), [&](std::string_view key) {
      return component(key, prefix.size()) == next;
    });
    if (!shared) return prefix;
    prefix = std::string(keys.front().substr(0, prefix.size() + next.size() + 1));
  }
}

}  // namespace

std::vector<Part> parts_of(const checkpoint::Checkpoint& file) {
  std::map<std::string, std::vector<std::string_view>> keys;
  std::map<std::string, Part> groups;
  for (const TensorRef& tensor : file.tensors()) {
    const std::string_view first = component(tensor.info.name, 0);
    const std::string group = first.empty() ? "" : std::string(first) + ".";
    Part& part = groups[group];
    ++part.tensors;
    part.bytes += tensor.info.bytes();
    keys[group].push_back(tensor.info.name);
  }
  std::vector<Part> parts;
  for (auto& [group, part] : groups) {
    // One tensor is no part, and neither is a lone layer: its prefix stays short.
    part.prefix = group.empty() || part.tensors < 4 ? group : extended(group, keys[group]);
    parts.push_back(part);
  }
  std::stable_sort(parts.begin(), parts.end(),
                   [](const Part& a, const Part& b) { return a.bytes > b.bytes; });
  std::stable_partition(parts.begin(), parts.end(), [](const Part& part) { return !part.prefix.empty(); });
  while (parts.size() > kShown + 1) {
    Part last = parts.back();
    parts.pop_back();
    parts.back() = {"", parts.back().tensors + last.tensors, parts.back().bytes + last.bytes};
  }
  return parts;
}

}  // namespace octavo::cli
