// What an edit of a checkpoint comes to: new markers and a new header, decided from headers and markers
// alone.
//
// A layer's marker is the JSON text in its tensor `<layer>.comfy_quant`; some files say the same in the
// header, in `_quantization_metadata`. Loaders let the header win, so the two must agree: an entry there
// follows its layer's marker, and one without a marker is edited by itself.
#pragma once

#include "checkpoint/reader.hpp"
#include "edit/marker_change.hpp"
#include "plan/pattern.hpp"

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace octavo::edit {

struct EditRequest {
  MarkerChange change;
  std::optional<plan::Pattern> filter;  // looked for in a layer's name; nothing: every layer
  bool save_quant_metadata = false;     // an entry in the header for every marker, whatever the filter
  std::vector<std::pair<std::string, std::string>> set_metadata;  // of `__metadata__`
  std::vector<std::string> remove_metadata;

  bool empty() const {  // asks for nothing
    return change.empty() && !save_quant_metadata && set_metadata.empty() && remove_metadata.empty();
  }
};

// A layer whose marker or entry the filter matches.
struct EditedLayer {
  std::string name;  // base name; as in the header for one that has no marker
  std::string before;
  std::string after;
  bool has_marker = false;

  bool changes() const { return before != after; }
};

struct EditPlan {
  std::vector<EditedLayer> layers;             // by name
  std::map<std::string, std::string> markers;  // key of a tensor to its new bytes, where these change
  std::map<std::string, std::string> metadata;
  std::vector<std::string> changed_metadata;  // keys that are added, changed or gone, sorted
  std::vector<std::string> warnings;

  bool changes() const { return !markers.empty() || !changed_metadata.empty(); }
};

// Throws Error usage for a request that asks for nothing or for `octavo` (the provenance) or a filter that
// grows out of all bounds, unsupported where no layer has a marker or entry or none matches the filter,
// bad_input for a marker or header that is no JSON object, and what reading throws.
EditPlan plan_edit(const checkpoint::Checkpoint& source, const EditRequest& request);

}  // namespace octavo::edit
