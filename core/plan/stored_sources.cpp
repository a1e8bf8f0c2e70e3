#include "plan/stored_sources.hpp"

#include "base/error.hpp"
#include "stored/band_source.hpp"
#include "stored/quantized_layers.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace octavo::plan {
namespace {

constexpr std::string_view kLegacyMark = "scaled_fp8";  // of a whole file, beside `.scale_weight` keys

bool is_integer(const octavo_grid& grid) {
  return grid.code == OCTAVO_CODE_INTEGER || grid.code == OCTAVO_CODE_INTEGER_ZERO;
}

bool is_legacy_mark(std::string_view key) {
  if (!key.ends_with(kLegacyMark)) return false;
  return key.size() == kLegacyMark.size() || key[key.size() - kLegacyMark.size() - 1] == '.';
}

}  // namespace

StoredSources::StoredSources(const checkpoint::Checkpoint& source, const stored::Survey* survey,
                             bool requantize)
    : source_(source) {
  if (survey == nullptr) return;
  for (const stored::Layer& layer : survey->layers) {
    if (layer.find(OCTAVO_ROLE_CODES) == nullptr) continue;
    if (!stored::BandSource(source, layer).unreadable().empty()) continue;
    if (!is_integer(layer.grid) || requantize) {
      layers_.emplace(layer.name, &layer);
      codes_.insert(index_of(*layer.find(OCTAVO_ROLE_CODES)));
      for (const stored::Entry& entry : layer.entries) parts_.emplace(entry.tensor, layer.name);
    } else {
      integers_.insert(layer.name);
    }
  }
}

size_t StoredSources::index_of(const checkpoint::TensorRef& tensor) const {
  return static_cast<size_t>(&tensor - source_.tensors().data());
}

const stored::Layer* StoredSources::find(const checkpoint::TensorRef& tensor) const {
  const auto found = layers_.find(stored::base_name(tensor.info.name));
  if (found == layers_.end() || found->second->find(OCTAVO_ROLE_CODES) != &tensor) return nullptr;
  return found->second;
}

std::optional<Verdict> StoredSources::decide_part(
    const checkpoint::TensorRef& tensor,
    const std::map<std::string, std::string, std::less<>>& quantized_layers) const {
  const std::string& key = tensor.info.name;
  // By the format that recognised it, which knows all of its parts; else by the name's ending.
  const auto part = parts_.find(&tensor);
  const std::string_view owner =
      part != parts_.end() ? part->second : stored::owner_of(key, quantized_layers);
  if (const auto found = layers_.find(owner); !owner.empty() && found != layers_.end()) {
    if (found->second->find(OCTAVO_ROLE_CODES) == &tensor) return std::nullopt;
    return Verdict{Decision::remove, "dequantized first",
                   fmt::format("part of layer {}, which is dequantized first ({})", printable(owner),
                               found->second->format->id())};
  }
  if (layers_.empty() || !is_legacy_mark(key)) return std::nullopt;
  const auto left = remaining(quantized_layers);
  const bool some_left = std::any_of(left.begin(), left.end(), [](const auto& layer) {
    return std::string_view(layer.second).ends_with(".scale_weight");
  });
  if (some_left) return std::nullopt;
  return Verdict{Decision::remove, "dequantized first", "it marks scaled FP8 weights, and none is left"};
}

void StoredSources::explain(const checkpoint::TensorRef& tensor, Verdict& verdict) const {
  if (integers_.contains(stored::base_name(tensor.info.name)) && verdict.decision == Decision::keep)
    verdict.reason += "; --requantize takes it as a source";
}

std::map<std::string, std::string, std::less<>> StoredSources::remaining(
    std::map<std::string, std::string, std::less<>> quantized_layers) const {
  std::erase_if(quantized_layers, [&](const auto& layer) { return layers_.contains(layer.first); });
  return quantized_layers;
}

}  // namespace octavo::plan
