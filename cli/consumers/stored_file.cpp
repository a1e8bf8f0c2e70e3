#include "consumers/stored_file.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <span>
#include <string_view>
#include <utility>

namespace octavo::cli {
namespace {

using checkpoint::TensorRef;
using nlohmann::json;

constexpr std::string_view kMarker = ".comfy_quant";
constexpr std::string_view kWeight = ".weight";
constexpr const char* kMetadata = "_quantization_metadata";
constexpr uint64_t kMarkerLimit = 65536;
constexpr int kDepthLimit = 16;
// ComfyUI looks the names of the metadata up again after it has cut the diffusion model's prefix off.
constexpr std::string_view kPrefixes[] = {"", "model.diffusion_model.", "model.model.", "net."};

// Nothing where the text is not JSON, or nested deeper than any marker is.
std::optional<json> parse(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) return std::nullopt;  // the parser takes it for the end
  bool too_deep = false;
  const auto limit = [&](int depth, json::parse_event_t, json&) {
    return !(too_deep |= depth > kDepthLimit);
  };
  json parsed = json::parse(text.begin(), text.end(), limit, false);
  if (too_deep || parsed.is_discarded()) return std::nullopt;
  return parsed;
}

const json* value_of(const json& object, const char* key) {
  if (const auto found = object.find(key); found != object.end()) return &*found;
  const auto params = object.find("params");
  if (params == object.end() || !params->is_object()) return nullptr;
  const auto nested = params->find(key);
  return nested == params->end() ? nullptr : &*nested;
}

bool is_true(const json& object, const char* key) {
  const json* value = value_of(object, key);
  if (value == nullptr) return false;
  return value->is_boolean() ? value->get<bool>() : value->is_number() && value->get<double>() != 0;
}

MarkerForm marker_form(const std::optional<json>& object) {
  MarkerForm form;
  form.readable = object && object->is_object();
  if (!form.readable) return form;
  if (const auto format = object->find("format"); format != object->end()) {
    form.readable = format->is_string();
    if (form.readable) form.format = format->get<std::string>();
  }
  form.full_precision = is_true(*object, "full_precision_matrix_mult");
  form.convrot = is_true(*object, "convrot");
  if (const json* group = value_of(*object, "convrot_groupsize")) {
    if (group->is_number_integer()) form.convrot_group = group->get<int64_t>();
  }
  return form;
}

std::string text_of(const checkpoint::Checkpoint& file, const TensorRef& tensor) {
  std::string text(tensor.info.bytes(), '\0');
  file.read(tensor, 0, std::as_writable_bytes(std::span(text)));
  return text;
}

MarkerForm read_marker(const checkpoint::Checkpoint& file, const TensorRef& tensor) {
  const bool is_marker = tensor.info.dtype == OCTAVO_U8 && tensor.info.shape.size() == 1 &&
                         tensor.info.bytes() > 0 && tensor.info.bytes() <= kMarkerLimit;
  return is_marker ? marker_form(parse(text_of(file, tensor))) : MarkerForm{.readable = false};
}

const TensorRef* weight_of(const checkpoint::Checkpoint& file, const std::string& base) {
  const TensorRef* weight = file.find(base + std::string(kWeight));
  return weight != nullptr ? weight : file.find(base);
}

std::string name_in_file(const checkpoint::Checkpoint& file, const std::string& name) {
  for (const std::string_view prefix : kPrefixes) {
    std::string base = std::string(prefix) + name;
    if (weight_of(file, base) != nullptr) return base;
  }
  return name;
}

std::optional<ScaleForm> scale_form(const checkpoint::Checkpoint& file, const std::string& key) {
  const TensorRef* scale = file.find(key);
  if (scale == nullptr) return std::nullopt;
  return ScaleForm{scale->info.dtype, scale->info.shape};
}

using Layers = std::map<std::string, LayerForm>;

bool add_metadata(const checkpoint::Checkpoint& file, Layers& layers) {
  const auto found = file.metadata().find(kMetadata);
  if (found == file.metadata().end()) return true;
  const std::optional<json> parsed = parse(found->second);
  if (!parsed || !parsed->is_object()) return false;
  const auto named = parsed->find("layers");
  if (named == parsed->end() || !named->is_object()) return false;
  for (const auto& [name, object] : named->items()) {
    layers[name_in_file(file, name)].metadata = marker_form(object);
  }
  return true;
}

}  // namespace

StoredFile read_stored_file(const checkpoint::Checkpoint& file) {
  StoredFile stored;
  stored.files = file.files().size();
  Layers layers;
  for (const TensorRef& tensor : file.tensors()) {
    const std::string& key = tensor.info.name;
    stored.tensors.push_back({key, tensor.info.dtype, tensor.info.shape.size()});
    if (key.size() > kMarker.size() && key.ends_with(kMarker)) {
      layers[key.substr(0, key.size() - kMarker.size())].marker = read_marker(file, tensor);
    } else if (key.ends_with(kWeight) && tensor.info.dtype == OCTAVO_I8 && tensor.info.shape.size() >= 2) {
      layers[key.substr(0, key.size() - kWeight.size())];
    }
  }
  stored.metadata_readable = add_metadata(file, layers);
  for (auto& [name, layer] : layers) {
    layer.name = name;
    if (const TensorRef* weight = weight_of(file, name)) {
      layer.weight_dtype = weight->info.dtype;
      layer.weight_shape = weight->info.shape;
    }
    layer.scale = scale_form(file, name + ".weight_scale");
    layer.legacy_scale = scale_form(file, name + ".scale_weight");
    stored.layers.push_back(std::move(layer));
  }
  return stored;
}

}  // namespace octavo::cli
