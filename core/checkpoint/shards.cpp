#include "checkpoint/shards.hpp"

#include "base/error.hpp"
#include "base/words.hpp"
#include "checkpoint/dtypes.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace octavo::checkpoint {
namespace {

struct Group {
  std::vector<OutputTensor> tensors;
  std::vector<size_t> indices;  // of them, in the list that was given
  uint64_t data_bytes = 0;
  uint64_t header_bytes = 0;  // an upper bound of what its entries take in a header
};

constexpr uint64_t kLongestNumber = 21;  // 20 digits and a comma
constexpr uint64_t kEntryFrame =
    64;  // {"dtype":"F8_E5M2FNUZ","shape":[],"data_offsets":[]}, and a colon and a comma

uint64_t entry_bound(const OutputTensor& tensor) {
  return json_text(tensor.name).size() + kEntryFrame + kLongestNumber * (tensor.shape.size() + 2);
}

uint64_t frame_bound(const std::map<std::string, std::string>& metadata) {
  uint64_t bytes = 8 + 8 + 32;  // the length, the padding, {"__metadata__":{}}
  for (const auto& [key, value] : metadata) bytes += json_text(key).size() + json_text(value).size() + 2;
  return bytes;
}

std::vector<Group> grouped(std::vector<GroupedTensor> tensors) {
  std::vector<Group> groups;
  std::unordered_map<std::string, size_t> place;
  for (size_t i = 0; i < tensors.size(); ++i) {
    GroupedTensor& entry = tensors[i];
    size_t index = groups.size();
    if (!entry.group.empty()) index = place.emplace(entry.group, index).first->second;
    if (index == groups.size()) groups.emplace_back();
    Group& group = groups[index];
    // A size that does not exist is refused by lay_out, which names the tensor.
    group.data_bytes += byte_count(entry.tensor.dtype, entry.tensor.shape).value_or(0);
    group.header_bytes += entry_bound(entry.tensor);
    group.tensors.push_back(std::move(entry.tensor));
    group.indices.push_back(i);
  }
  return groups;
}

// The first group of every file. Each file is closed where the next group would make it too large.
std::vector<size_t> cuts_by_size(const std::vector<Group>& groups, uint64_t max_bytes, uint64_t frame) {
  std::vector<size_t> cuts;
  uint64_t used = 0;
  for (size_t i = 0; i < groups.size(); ++i) {
    const uint64_t bytes = groups[i].data_bytes + groups[i].header_bytes;
    if (cuts.empty() || used + bytes > max_bytes) {
      cuts.push_back(i);
      used = frame;
    }
    used += bytes;
  }
  return cuts;
}

// A file begins with the first group whose middle lies in its share of the whole; each gets at least one
// group.
std::vector<size_t> cuts_by_count(const std::vector<Group>& groups, uint64_t count) {
  double total = 0;
  for (const Group& group : groups) total += static_cast<double>(group.data_bytes);
  std::vector<size_t> cuts;
  double before = 0;
  for (size_t i = 0; i < groups.size(); ++i) {
    const double middle = before + static_cast<double>(groups[i].data_bytes) / 2;
    const double share = total * static_cast<double>(cuts.size()) / static_cast<double>(count);
    const bool all_are_needed = groups.size() - i == count - cuts.size();
    if (cuts.size() < count && (cuts.empty() || middle >= share || all_are_needed)) cuts.push_back(i);
    before += static_cast<double>(groups[i].data_bytes);
  }
  return cuts;
}

}  // namespace

std::string index_text(const ShardSet& set) {
  uint64_t total = 0;
  nlohmann::json map = nlohmann::json::object();  // keys come out sorted
  for (size_t i = 0; i < set.layouts.size(); ++i) {
    for (const PlacedTensor& placed : set.layouts[i].tensors) {
      total += placed.bytes;
      const bool is_new = map.emplace(placed.tensor.name, set.names[i]).second;
      if (!is_new)
        throw Error(ErrorCode::bad_input, fmt::format("[layout] tensor \"{}\": would be there twice",
                                                      printable(placed.tensor.name)));
    }
  }
  const nlohmann::json index = {{"metadata", {{"total_size", total}}}, {"weight_map", std::move(map)}};
  return index.dump(2) + '\n';
}

uint64_t ShardSet::bytes() const {
  uint64_t sum = index_json.size();
  for (const Layout& layout : layouts) sum += layout.file_bytes;
  return sum;
}

uint64_t ShardSet::largest_file() const {
  uint64_t largest = index_json.size();
  for (const Layout& layout : layouts) largest = std::max(largest, layout.file_bytes);
  return largest;
}

ShardSet lay_out_shards(const std::map<std::string, std::string>& metadata,
                        std::vector<GroupedTensor> tensors, ShardRule rule, const std::string& stem) {
  if ((rule.count == 0) == (rule.max_bytes == 0))
    throw Error(ErrorCode::usage, "[shards] give a number of files or a largest size, and not both");
  std::vector<Group> groups = grouped(std::move(tensors));
  if (rule.count > groups.size())
    throw Error(ErrorCode::usage,
                fmt::format("[shards] {} files were asked for, but there are only {}", rule.count,
                            plural(groups.size(), "group of tensors", "groups of tensors")));
  std::vector<size_t> cuts = rule.count != 0 ? cuts_by_count(groups, rule.count)
                                             : cuts_by_size(groups, rule.max_bytes, frame_bound(metadata));
  if (cuts.empty()) cuts.push_back(0);
  ShardSet set;
  for (size_t i = 0; i < cuts.size(); ++i) {
    const size_t end = i + 1 < cuts.size() ? cuts[i + 1] : groups.size();
    std::vector<OutputTensor> members;
    std::vector<size_t> indices;
    for (size_t g = cuts[i]; g < end; ++g) {
      for (OutputTensor& tensor : groups[g].tensors) members.push_back(std::move(tensor));
      indices.insert(indices.end(), groups[g].indices.begin(), groups[g].indices.end());
    }
    Layout& layout = set.layouts.emplace_back(lay_out(metadata, std::move(members)));
    for (PlacedTensor& placed : layout.tensors) placed.index = indices[placed.index];
    set.names.push_back(fmt::format("{}-{:05}-of-{:05}.safetensors", stem, i + 1, cuts.size()));
  }
  set.index_name = stem + ".safetensors.index.json";
  set.index_json = index_text(set);
  return set;
}

}  // namespace octavo::checkpoint
