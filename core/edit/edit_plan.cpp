#include "edit/edit_plan.hpp"

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/words.hpp"
#include "edit/spaced_json.hpp"
#include "stored/prefixes.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <set>
#include <span>
#include <string_view>

namespace octavo::edit {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kMarker = ".comfy_quant";
constexpr uint64_t kMarkerLimit = 65536;
constexpr const char* kQuantMetadata = "_quantization_metadata";
constexpr const char* kProvenance = "octavo";

struct Marker {
  const checkpoint::TensorRef* tensor = nullptr;
  std::string text;
};

using Markers = std::map<std::string, Marker>;  // by the layer's base name

Markers find_markers(const checkpoint::Checkpoint& source) {
  Markers markers;
  for (const checkpoint::TensorRef& tensor : source.tensors()) {
    const std::string& key = tensor.info.name;
    if (!key.ends_with(kMarker) || key.size() == kMarker.size()) continue;
    const bool is_text = tensor.info.dtype == OCTAVO_U8 && tensor.info.shape.size() == 1 &&
                         tensor.info.bytes() <= kMarkerLimit;
    if (!is_text) continue;
    std::string text(tensor.info.bytes(), '\0');
    source.read(tensor, 0, std::as_writable_bytes(std::span(text)));
    markers.emplace(key.substr(0, key.size() - kMarker.size()), Marker{&tensor, std::move(text)});
  }
  return markers;
}

class Planner {
 public:
  Planner(const checkpoint::Checkpoint& source, const EditRequest& request)
      : source_(source), request_(request), markers_(find_markers(source)) {}

  EditPlan make() {
    plan_.metadata = source_.metadata();
    edit_metadata();
    read_quant_metadata();
    if (!request_.change.empty()) {
      edit_markers();
      edit_entries();
      refuse_without_layers();
      warn();
    }
    write_quant_metadata();
    note_changed_metadata();
    if (plan_.changes()) add_provenance();
    std::sort(plan_.layers.begin(), plan_.layers.end(),
              [](const EditedLayer& a, const EditedLayer& b) { return a.name < b.name; });
    return std::move(plan_);
  }

 private:
  bool is_wanted(const std::string& name) const { return !request_.filter || request_.filter->search(name); }

  void edit_metadata() {
    for (const std::string& key : request_.remove_metadata) {
      if (plan_.metadata.erase(key) == 0) {
        plan_.warnings.push_back(fmt::format("--remove-metadata: there is no '{}'", printable(key)));
      }
    }
    for (const auto& [key, value] : request_.set_metadata) plan_.metadata[key] = value;
  }

  void read_quant_metadata() {
    const auto found = plan_.metadata.find(kQuantMetadata);
    if (found == plan_.metadata.end()) return;
    document_ = parse_marker(found->second, kQuantMetadata);
    const auto layers = document_.find("layers");
    if (layers == document_.end() || !layers->is_object()) {
      throw Error(ErrorCode::bad_input, fmt::format("[edit] {} has no object \"layers\"", kQuantMetadata),
                  fmt::format("--remove-metadata {} takes it out", kQuantMetadata));
    }
    entries_ = *layers;
  }

  // "" where the layer of an entry has no marker.
  std::string marker_of_entry(const std::string& entry) const {
    for (const std::string_view prefix : stored::kHeaderPrefixes) {
      std::string name = std::string(prefix) + entry;
      if (markers_.contains(name)) return name;
    }
    return {};
  }

  void edit_markers() {
    for (auto& [name, marker] : markers_) {
      if (!is_wanted(name)) continue;
      const std::string& key = marker.tensor->info.name;
      const Json before = parse_marker(marker.text, key);
      const Json after = changed(before, request_.change);
      EditedLayer layer{name, marker.text, marker.text, true};
      if (after != before) {
        layer.after = checked_text(after, key);
        marker.text = layer.after;
        plan_.markers.emplace(key, layer.after);
        changed_layers_.insert(name);
      }
      plan_.layers.push_back(std::move(layer));
    }
  }

  static std::string checked_text(const Json& marker, const std::string& key) {
    std::string text = spaced_json(marker);
    if (text.size() <= kMarkerLimit) return text;
    throw Error(ErrorCode::unsupported, fmt::format("[edit] {} would have {} bytes; loaders read {}",
                                                    printable(key), text.size(), kMarkerLimit));
  }

  void edit_entries() {
    for (auto& [name, entry] : entries_.items()) {
      if (!marker_of_entry(name).empty() || !is_wanted(name)) continue;
      if (!entry.is_object()) {
        throw Error(ErrorCode::bad_input, fmt::format("[edit] the entry of {} in {} is no JSON object",
                                                      printable(name), kQuantMetadata));
      }
      const Json after = changed(entry, request_.change);
      plan_.layers.push_back({name, spaced_json(entry), spaced_json(after), false});
      entries_changed_ = entries_changed_ || after != entry;
      entry = after;
    }
  }

  void refuse_without_layers() const {
    if (!plan_.layers.empty()) return;
    if (markers_.empty() && entries_.empty()) {
      throw Error(ErrorCode::unsupported, "[edit] no layer has a marker, and the header has no entries",
                  "octavo inspect shows what the file holds");
    }
    std::vector<std::string> names;
    for (const auto& [name, marker] : markers_) names.push_back(name);
    for (const auto& [name, entry] : entries_.items()) names.push_back(name);
    const std::string& filter = request_.filter->text();
    const std::vector<std::string> nearest = plan::nearest_keys(filter, names);
    throw Error(ErrorCode::unsupported,
                fmt::format("[edit] --quant-filter '{}' matches none of {} layers", printable(filter),
                            markers_.size() + entries_.size()),
                nearest.empty() ? "" : "there is " + printable(nearest.front()));
  }

  void warn() {
    uint64_t without_format = 0;
    std::set<std::string> meaning;  // keys that say otherwise now, of markers that have a format
    for (const EditedLayer& layer : plan_.layers) {
      if (!layer.changes()) continue;
      const Json before = Json::parse(layer.before), after = Json::parse(layer.after);
      if (!after.contains("format")) {
        ++without_format;
        continue;
      }
      // By which loaders turn codes into weights.
      for (const char* key : {"format", "group_size", "convrot", "convrot_groupsize"}) {
        if (before.value(key, Json()) != after.value(key, Json())) meaning.insert(key);
      }
    }
    if (without_format > 0) {
      plan_.warnings.push_back(fmt::format("{} without a format: loaders refuse such a layer",
                                           plural(without_format, "marker is", "markers are")));
    }
    if (!meaning.empty()) {
      plan_.warnings.push_back(
          fmt::format("what markers say of {} changes: loaders will read other weights from the same codes",
                      fmt::join(meaning, ", ")));
    }
    if (!plan_.changes() && !entries_changed_)
      plan_.warnings.emplace_back("nothing changes: every marker is so already");
  }

  // Entries follow the markers that changed; with save_quant_metadata every marker has its entry.
  void write_quant_metadata() {
    for (auto& [name, entry] : entries_.items()) {
      const std::string marker = marker_of_entry(name);
      const bool follows = request_.save_quant_metadata || changed_layers_.contains(marker);
      if (marker.empty() || !follows) continue;
      entry = parse_marker(markers_.at(marker).text, marker);
      entries_changed_ = true;
      has_entry_.insert(marker);
    }
    if (request_.save_quant_metadata) add_missing_entries();
    if (!entries_changed_) return;
    if (!document_.contains("format_version")) {
      Json versioned = {{"format_version", "1.0"}};
      versioned.update(document_);
      document_ = std::move(versioned);
    }
    document_["layers"] = entries_;
    plan_.metadata[kQuantMetadata] = spaced_json(document_);
  }

  void add_missing_entries() {
    if (markers_.empty()) plan_.warnings.emplace_back("--save-quant-metadata: no layer has a marker");
    for (const auto& [name, marker] : markers_) {
      if (has_entry_.contains(name)) continue;
      entries_[name] = parse_marker(marker.text, marker.tensor->info.name);
      entries_changed_ = true;
    }
  }

  void note_changed_metadata() {
    std::set<std::string> keys;
    const auto& before = source_.metadata();
    for (const auto& [key, value] : before) {
      if (const auto now = plan_.metadata.find(key); now == plan_.metadata.end() || now->second != value)
        keys.insert(key);
    }
    for (const auto& [key, value] : plan_.metadata) {
      if (!before.contains(key)) keys.insert(key);
    }
    plan_.changed_metadata.assign(keys.begin(), keys.end());
  }

  // What the provenance says about the weights stays true; what was done to the markers is added to it.
  void add_provenance() {
    const auto found = plan_.metadata.find(kProvenance);
    std::optional<Json> made;
    if (found != plan_.metadata.end()) made = parse_untrusted<Json>(found->second);
    if (!made || !made->is_object()) made = Json{{"version", OCTAVO_VERSION}};
    Json edit = {{"version", OCTAVO_VERSION}};
    if (!request_.change.remove.empty()) edit["remove_keys"] = request_.change.remove;
    if (!request_.change.add.empty()) edit["add_keys"] = request_.change.add;
    if (request_.filter) edit["quant_filter"] = request_.filter->text();
    edit["source"] = {{"header_xxh3_128", source_.header_hash()}, {"bytes", source_.source_bytes()}};
    Json& edits = (*made)["edits"];
    if (!edits.is_array()) edits = Json::array();
    edits.push_back(std::move(edit));
    plan_.metadata[kProvenance] = made->dump();
  }

  EditPlan plan_;
  const checkpoint::Checkpoint& source_;
  const EditRequest& request_;
  Markers markers_;
  Json document_ = Json::object();  // `_quantization_metadata`
  Json entries_ = Json::object();   // its layers
  std::set<std::string> changed_layers_;
  std::set<std::string> has_entry_;
  bool entries_changed_ = false;
};

void check(const EditRequest& request) {
  if (request.empty()) {
    throw Error(ErrorCode::usage, "[edit] nothing to do is asked for",
                "--add-keys, --remove-keys, --save-quant-metadata, --set-metadata, --remove-metadata");
  }
  const auto is_ours = [](const std::string& key) { return key == kProvenance; };
  const bool sets_ours = std::any_of(request.set_metadata.begin(), request.set_metadata.end(),
                                     [&](const auto& pair) { return is_ours(pair.first); });
  if (sets_ours) {
    throw Error(ErrorCode::usage,
                fmt::format("[edit] --set-metadata {}: octavo itself writes this entry", kProvenance));
  }
}

}  // namespace

EditPlan plan_edit(const checkpoint::Checkpoint& source, const EditRequest& request) {
  check(request);
  return Planner(source, request).make();
}

}  // namespace octavo::edit
