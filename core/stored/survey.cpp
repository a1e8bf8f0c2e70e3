#include "stored/survey.hpp"

#include "plugin/header.hpp"
#include "plugin/severity.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace octavo::stored {
namespace {

Layer stored(const checkpoint::Checkpoint& file, const plugin::Format& format,
             const plugin::RecognisedLayer& found) {
  Layer layer{.name = found.name,
              .format = &format,
              .grid = found.grid,
              .rows = found.rows,
              .cols = found.cols,
              .flags = found.flags,
              .entries = {}};
  for (const plugin::RecognisedEntry& entry : found.entries) {
    layer.entries.push_back({entry.role, &file.tensors().at(entry.tensor)});
  }
  return layer;
}

void add_layer(Survey& result, Layer layer, const checkpoint::Checkpoint& file) {
  const checkpoint::TensorRef* codes = layer.find(OCTAVO_ROLE_CODES);
  const auto index_of = [&](const checkpoint::TensorRef* tensor) {
    return static_cast<size_t>(tensor - file.tensors().data());
  };
  if (codes != nullptr && result.owned[index_of(codes)]) {
    result.findings.push_back({plugin::kWarning, "layer-claimed-twice", codes->info.name,
                               fmt::format("format {} claims a layer that another one has recognised already",
                                           layer.format->id())});
    return;
  }
  for (const Entry& entry : layer.entries) result.owned[index_of(entry.tensor)] = true;
  result.layers.push_back(std::move(layer));
}

}  // namespace

const checkpoint::TensorRef* Layer::find(octavo_role role) const {
  const auto found =
      std::find_if(entries.begin(), entries.end(), [&](const Entry& entry) { return entry.role == role; });
  return found == entries.end() ? nullptr : found->tensor;
}

uint64_t Layer::bytes() const {
  uint64_t sum = 0;
  for (const Entry& entry : entries) sum += entry.tensor->info.bytes();
  return sum;
}

const Layer* Survey::find(std::string_view name) const {
  const auto found =
      std::lower_bound(layers.begin(), layers.end(), name,
                       [](const Layer& layer, std::string_view wanted) { return layer.name < wanted; });
  return found == layers.end() || found->name != name ? nullptr : &*found;
}

Survey survey(const checkpoint::Checkpoint& file, std::span<const std::unique_ptr<plugin::Format>> formats) {
  const plugin::Header header(file);
  Survey result;
  result.owned.resize(file.tensors().size());
  for (const auto& format : formats) {
    plugin::Recognised recognised = format->recognise(header);
    for (plugin::Finding& finding : recognised.findings) result.findings.push_back(std::move(finding));
    for (const plugin::RecognisedLayer& found : recognised.layers) {
      add_layer(result, stored(file, *format, found), file);
    }
  }
  header.check_markers();
  std::sort(result.layers.begin(), result.layers.end(),
            [](const Layer& a, const Layer& b) { return a.name < b.name; });
  return result;
}

}  // namespace octavo::stored
