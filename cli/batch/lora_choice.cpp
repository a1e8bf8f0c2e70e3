#include "batch/lora_choice.hpp"

#include "base/error.hpp"
#include "base/file.hpp"
#include "plan/output_names.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>
#include <system_error>
#include <utility>

namespace octavo::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr uint64_t kMaxBytes = uint64_t{64} << 20;

[[noreturn]] void refuse(const std::string& file, const std::string& what) {
  throw Error(
      ErrorCode::bad_input, fmt::format("[LoRA mapping] {}: {}", printable(file), what),
      R"(the form is {"model name": "lora.safetensors", "other": ["a.safetensors", "b.safetensors:0.8"]})");
}

// The tree, once no key of the object is there twice.
Json parse(std::string_view text, const std::string& file) {
  std::set<std::string> keys;
  const auto notice = [&](int depth, Json::parse_event_t event, Json& value) {
    if (event != Json::parse_event_t::key || depth != 1) return true;
    const auto key = value.get<std::string>();
    if (!keys.insert(key).second) refuse(file, fmt::format("key '{}' is there twice", printable(key)));
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), notice);
  } catch (const Json::parse_error& error) {
    const std::string what = error.what();
    const size_t at = what.find("at line ");
    refuse(file, "this is not JSON: " + printable(what.substr(at == what.npos ? 0 : at)));
  }
}

std::vector<std::string> files_of(const std::string& key, const Json& value, const std::string& file) {
  const bool is_list =
      value.is_array() && !value.empty() &&
      std::all_of(value.begin(), value.end(), [](const Json& one) { return one.is_string(); });
  if (is_list) return value.get<std::vector<std::string>>();
  if (value.is_string()) return {value.get<std::string>()};
  refuse(file, fmt::format("'{}' is {}; a file or a list of files is expected", printable(key),
                           printable(value.dump())));
}

// `key` stands in `name` between its ends and separators.
bool stands_in(std::string_view key, std::string_view name) {
  constexpr std::string_view kSeparators = "._-";
  for (size_t at = name.find(key); at != name.npos; at = name.find(key, at + 1)) {
    const size_t end = at + key.size();
    const bool begins = at == 0 || kSeparators.find(name[at - 1]) != kSeparators.npos;
    const bool ends = end == name.size() || kSeparators.find(name[end]) != kSeparators.npos;
    if (begins && ends) return true;
  }
  return false;
}

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

}  // namespace

std::vector<MappedLoras> parse_lora_mapping(std::string_view text, const std::string& file) {
  const Json tree = parse(text, file);
  if (!tree.is_object()) refuse(file, fmt::format("this is {}; an object is expected", tree.type_name()));
  std::vector<MappedLoras> mapping;
  for (const auto& [key, value] : tree.items()) {
    if (key.starts_with("_")) continue;
    if (key.empty()) refuse(file, "a key is empty");
    mapping.push_back({key, files_of(key, value, file)});
  }
  return mapping;
}

LoraChoice::LoraChoice(std::vector<lora::WantedFile> all, const std::optional<std::string>& mapping,
                       const std::optional<std::string>& folder)
    : all_(std::move(all)) {
  if (mapping) {
    mapping_ =
        parse_lora_mapping(read_text(File::open_to_read(*mapping), kMaxBytes, "LoRA mapping"), *mapping);
    beside_ = fs::path(*mapping).parent_path();
  }
  used_.resize(mapping_.size());
  if (!folder) return;
  folder_ = *folder;
  std::error_code ignored;
  if (!fs::is_directory(folder_, ignored))
    throw Error(ErrorCode::io,
                fmt::format("[batch] --lora-dir {}: there is no such folder", printable(*folder)));
}

const MappedLoras* LoraChoice::entry_for(const std::string& name, const std::string& stem) const {
  for (const std::string& exact : {name, stem}) {
    for (const MappedLoras& entry : mapping_) {
      if (entry.key == exact) return &entry;
    }
  }
  const MappedLoras* longest = nullptr;
  for (const MappedLoras& entry : mapping_) {
    if (!stands_in(entry.key, stem)) continue;
    if (longest == nullptr || entry.key.size() > longest->key.size()) longest = &entry;
  }
  return longest;
}

lora::WantedFile LoraChoice::located(const std::string& file) const {
  if (fs::path(file).has_parent_path()) return lora::parse_wanted(file);
  return lora::parse_wanted(((folder_.empty() ? beside_ : folder_) / file).string());
}

std::vector<lora::WantedFile> LoraChoice::of(const fs::path& model) {
  if (!all_.empty()) return all_;
  const std::string stem = plan::stem_of(model);
  if (const MappedLoras* entry = entry_for(model.filename().string(), stem)) {
    used_[static_cast<size_t>(entry - mapping_.data())] = true;
    std::vector<lora::WantedFile> files;
    for (const std::string& file : entry->files) files.push_back(located(file));
    return files;
  }
  if (folder_.empty()) return {};
  for (const char* ending : {".safetensors", "_lora.safetensors"}) {
    const fs::path file = folder_ / (stem + ending);
    if (is_file(file)) return {{file, 1}};
  }
  return {};
}

std::vector<std::string> LoraChoice::unused() const {
  std::vector<std::string> keys;
  for (size_t i = 0; i < mapping_.size(); ++i) {
    if (!used_[i]) keys.push_back(mapping_[i].key);
  }
  return keys;
}

}  // namespace octavo::cli
