#include "stored/quantized_layers.hpp"

#include "base/json.hpp"

#include <array>
#include <optional>

namespace octavo::stored {
namespace {

using Json = nlohmann::ordered_json;
using Layers = std::map<std::string, std::string, std::less<>>;

constexpr std::string_view kWeight = ".weight";
constexpr const char* kMetadataKey = "_quantization_metadata";

// Endings of the tensors that a quantized weight has beside it, in all key schemes in use.
constexpr std::array<std::string_view, 9> kCompanions = {
    ".weight_scale", ".weight_scale_2",   ".scale_weight", ".weight_scale_inv", ".weight_s_rel",
    ".comfy_quant",  ".weight_s_channel", ".weight_zeros", ".weight_zero"};
// These belong to a quantized layer but do not make one.
constexpr std::array<std::string_view, 4> kAttachments = {".input_scale", ".scale_input", ".pre_quant_scale",
                                                          ".weight_codebook"};

std::string_view without_ending(std::string_view key, std::string_view ending) {
  if (!key.ends_with(ending) || key.size() == ending.size()) return {};
  return key.substr(0, key.size() - ending.size());
}

// Layer name to its entry as JSON text; empty where there is no such metadata or it is not what it should be.
std::map<std::string, std::string> metadata_layers(const checkpoint::Checkpoint& source) {
  std::map<std::string, std::string> layers;
  const auto found = source.metadata().find(kMetadataKey);
  if (found == source.metadata().end()) return layers;
  const std::optional<Json> parsed = parse_untrusted<Json>(found->second);
  if (!parsed || !parsed->is_object()) return layers;
  const auto entries = parsed->find("layers");
  if (entries == parsed->end() || !entries->is_object()) return layers;
  for (auto entry = entries->begin(); entry != entries->end(); ++entry)
    layers.emplace(entry.key(), entry->dump());
  return layers;
}

}  // namespace

std::string_view base_name(std::string_view key) {
  const std::string_view base = without_ending(key, kWeight);
  return base.empty() ? key : base;
}

Layers quantized_layers(const checkpoint::Checkpoint& source) {
  Layers layers;
  for (const checkpoint::TensorRef& tensor : source.tensors()) {
    for (const std::string_view ending : kCompanions) {
      const std::string_view base = without_ending(tensor.info.name, ending);
      if (!base.empty()) layers.emplace(base, tensor.info.name);
    }
  }
  for (const auto& [name, entry] : metadata_layers(source)) layers.emplace(name, kMetadataKey);
  return layers;
}

std::string_view owner_of(std::string_view key, const Layers& quantized_layers) {
  const auto owner = [&](std::string_view ending) -> std::string_view {
    const std::string_view base = without_ending(key, ending);
    if (base.empty()) return {};
    const auto found = quantized_layers.find(base);
    return found == quantized_layers.end() ? std::string_view() : std::string_view(found->first);
  };
  if (const std::string_view found = owner(kWeight); !found.empty()) return found;
  for (const std::string_view ending : kCompanions) {
    if (const std::string_view found = owner(ending); !found.empty()) return found;
  }
  for (const std::string_view ending : kAttachments) {
    if (const std::string_view found = owner(ending); !found.empty()) return found;
  }
  return {};
}

std::map<std::string, std::string> kept_quantization_metadata(const checkpoint::Checkpoint& source,
                                                              const Layers& kept_layers) {
  std::map<std::string, std::string> kept = metadata_layers(source);
  std::erase_if(kept, [&](const auto& entry) { return !kept_layers.contains(entry.first); });
  return kept;
}

}  // namespace octavo::stored
