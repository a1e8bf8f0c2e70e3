#include "consumers/stored_file.hpp"

#include "base/json.hpp"
#include "stored/prefixes.hpp"

#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace octavo::cli {
namespace {

using checkpoint::OutputTensor;
using checkpoint::TensorRef;
using nlohmann::json;

constexpr std::string_view kMarker = ".comfy_quant";
constexpr std::string_view kWeight = ".weight";
constexpr const char* kMetadata = "_quantization_metadata";
constexpr uint64_t kMarkerLimit = 65536;

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

// A file, on disk or planned: what its header says, and the contents of a marker.
class Contents {
 public:
  using Text = std::function<std::string(size_t)>;  // of the tensor with this index
  using Metadata = std::map<std::string, std::string>;

  // Both must outlive it.
  Contents(std::span<const OutputTensor> tensors, const Metadata& metadata, Text text)
      : tensors_(tensors), metadata_(metadata), text_(std::move(text)) {
    by_name_.reserve(tensors_.size());
    for (const OutputTensor& tensor : tensors_) by_name_.emplace(tensor.name, &tensor);
  }

  std::span<const OutputTensor> tensors() const { return tensors_; }
  const Metadata& metadata() const { return metadata_; }
  std::string text(size_t index) const { return text_(index); }

  const OutputTensor* find(const std::string& name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : found->second;
  }

 private:
  std::span<const OutputTensor> tensors_;
  const Metadata& metadata_;
  Text text_;
  std::unordered_map<std::string_view, const OutputTensor*> by_name_;
};

// Markers, most of which say the same as the one before.
class Markers {
 public:
  MarkerForm read(const Contents& file, size_t index) {
    const OutputTensor& tensor = file.tensors()[index];
    const bool is_marker = tensor.dtype == OCTAVO_U8 && tensor.shape.size() == 1 && tensor.shape[0] > 0 &&
                           tensor.shape[0] <= kMarkerLimit;
    if (!is_marker) return {.readable = false};
    std::string text = file.text(index);
    if (text != text_) {
      form_ = marker_form(parse_untrusted<json>(text));
      text_ = std::move(text);
    }
    return form_;
  }

 private:
  std::string text_;  // "" is none's
  MarkerForm form_{.readable = false};
};

const OutputTensor* weight_of(const Contents& file, const std::string& base) {
  const OutputTensor* weight = file.find(base + std::string(kWeight));
  return weight != nullptr ? weight : file.find(base);
}

std::string name_in_file(const Contents& file, const std::string& name) {
  for (const std::string_view prefix : stored::kHeaderPrefixes) {
    std::string base = std::string(prefix) + name;
    if (weight_of(file, base) != nullptr) return base;
  }
  return name;
}

std::optional<ScaleForm> scale_form(const Contents& file, const std::string& key) {
  const OutputTensor* scale = file.find(key);
  if (scale == nullptr) return std::nullopt;
  return ScaleForm{scale->dtype, scale->shape};
}

using Layers = std::map<std::string, LayerForm>;

bool add_metadata(const Contents& file, Layers& layers) {
  const auto found = file.metadata().find(kMetadata);
  if (found == file.metadata().end()) return true;
  const std::optional<json> parsed = parse_untrusted<json>(found->second);
  if (!parsed || !parsed->is_object()) return false;
  const auto named = parsed->find("layers");
  if (named == parsed->end() || !named->is_object()) return false;
  for (const auto& [name, object] : named->items()) {
    layers[name_in_file(file, name)].metadata = marker_form(object);
  }
  return true;
}

StoredFile form_of(const Contents& file) {
  StoredFile stored;
  Layers layers;
  Markers markers;
  stored.tensors.reserve(file.tensors().size());
  for (size_t i = 0; i < file.tensors().size(); ++i) {
    const OutputTensor& tensor = file.tensors()[i];
    const std::string& key = tensor.name;
    stored.tensors.push_back({key, tensor.dtype, tensor.shape.size()});
    if (key.size() > kMarker.size() && key.ends_with(kMarker)) {
      layers[key.substr(0, key.size() - kMarker.size())].marker = markers.read(file, i);
    } else if (key.ends_with(kWeight) && tensor.dtype == OCTAVO_I8 && tensor.shape.size() >= 2) {
      layers[key.substr(0, key.size() - kWeight.size())];
    }
  }
  stored.metadata_readable = add_metadata(file, layers);
  for (auto& [name, layer] : layers) {
    layer.name = name;
    if (const OutputTensor* weight = weight_of(file, name)) {
      layer.weight_dtype = weight->dtype;
      layer.weight_shape = weight->shape;
    }
    layer.scale = scale_form(file, name + ".weight_scale");
    stored.layers.push_back(std::move(layer));
  }
  return stored;
}

}  // namespace

StoredFile read_stored_file(const checkpoint::Checkpoint& file) {
  std::vector<OutputTensor> tensors;
  tensors.reserve(file.tensors().size());
  for (const TensorRef& tensor : file.tensors())
    tensors.push_back({tensor.info.name, tensor.info.dtype, tensor.info.shape});
  const auto text = [&](size_t index) { return text_of(file, file.tensors()[index]); };
  StoredFile stored = form_of(Contents(tensors, file.metadata(), text));
  stored.files = file.files().size();
  return stored;
}

StoredFile planned_file(const plan::Plan& plan, const checkpoint::Checkpoint& source) {
  std::vector<const plan::PlannedConstant*> constants(plan.outputs.size());
  for (const plan::PlannedConstant& constant : plan.constants) constants[constant.output] = &constant;
  std::vector<const plan::PlannedCopy*> copies(plan.outputs.size());
  for (const plan::PlannedCopy& copy : plan.copies) copies[copy.output] = &copy;
  const auto text = [&](size_t index) {
    if (constants[index] != nullptr) return constants[index]->bytes;
    return copies[index] == nullptr ? std::string() : text_of(source, *copies[index]->source);
  };
  return form_of(Contents(plan.outputs, plan.metadata, text));
}

}  // namespace octavo::cli
