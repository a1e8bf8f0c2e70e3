#include "report/leftovers.hpp"

#include "base/error.hpp"
#include "base/json.hpp"
#include "plugin/header.hpp"
#include "plugin/severity.hpp"
#include "stored/prefixes.hpp"
#include "stored/quantized_layers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace octavo::report {
namespace {

using checkpoint::TensorRef;
using nlohmann::json;

constexpr std::string_view kMarker = ".comfy_quant";
constexpr std::string_view kScaledFp8 = "scaled_fp8";
constexpr const char* kMetadata = "_quantization_metadata";
constexpr std::array<std::string_view, 4> kScales = {".weight_scale", ".scale_weight", ".input_scale",
                                                     ".scale_input"};

std::string_view without(std::string_view key, std::string_view ending) {
  return key.substr(0, key.size() - ending.size());
}

bool is_8_bit_float(octavo_dtype dtype) {
  return dtype == OCTAVO_F8_E4M3 || dtype == OCTAVO_F8_E5M2 || dtype == OCTAVO_F8_E4M3FNUZ ||
         dtype == OCTAVO_F8_E5M2FNUZ;
}

bool is_wide_float(octavo_dtype dtype) {
  return dtype == OCTAVO_F64 || dtype == OCTAVO_F32 || dtype == OCTAVO_F16 || dtype == OCTAVO_BF16;
}

class Search {
 public:
  Search(const checkpoint::Checkpoint& file, const stored::Survey& survey) : file_(file), survey_(survey) {
    for (const plugin::Finding& finding : survey.findings) {
      mentioned_.insert(finding.tensor);
      if (finding.severity == plugin::kError) broken_.insert(std::string(layer_of(finding.tensor)));
      metadata_mentioned_ = metadata_mentioned_ || finding.code.starts_with("metadata-");
    }
  }

  std::vector<plugin::Finding> run() {
    for (size_t i = 0; i < file_.tensors().size(); ++i) {
      const TensorRef& tensor = file_.tensors()[i];
      if (survey_.owned[i] || mentioned_.contains(tensor.info.name)) continue;
      look_at(tensor);
    }
    look_at_metadata();
    return std::move(findings_);
  }

 private:
  // "a.b" of "a.b.weight", "a.b.weight_scale", "a.b.comfy_quant".
  static std::string_view layer_of(std::string_view key) {
    for (const std::string_view ending : kScales) {
      if (key.ends_with(ending)) return without(key, ending);
    }
    return key.ends_with(kMarker) ? without(key, kMarker) : stored::base_name(key);
  }

  void add(uint32_t severity, const char* code, std::string tensor, std::string message) {
    findings_.push_back({severity, code, std::move(tensor), std::move(message)});
  }

  const TensorRef* weight_of(std::string_view layer) const {
    for (const std::string_view prefix : stored::kHeaderPrefixes) {
      const std::string base = std::string(prefix) + std::string(layer);
      if (const TensorRef* weight = file_.find(base + ".weight")) return weight;
      if (const TensorRef* weight = file_.find(base)) return weight;
    }
    return nullptr;
  }

  void look_at(const TensorRef& tensor) {
    const std::string& key = tensor.info.name;
    if (key.ends_with(kMarker)) return look_at_marker(tensor);
    if (key.ends_with(kScaledFp8)) return look_at_scaled_fp8(key);
    for (const std::string_view ending : kScales) {
      if (key.ends_with(ending)) return look_at_scale(key, std::string(without(key, ending)));
    }
    const bool layer_of_codes =
        tensor.info.dtype == OCTAVO_I8 && tensor.info.shape.size() == 2 && key.ends_with(".weight");
    const std::string base(stored::base_name(key));
    if (!layer_of_codes || broken_.contains(base) || file_.find(base + std::string(kMarker))) return;
    add(plugin::kError, "codes-without-marker", key,
        "an I8 weight without a marker: loaders take the codes for the weights themselves");
  }

  void look_at_scale(const std::string& key, const std::string& layer) {
    const TensorRef* weight = weight_of(layer);
    if (weight == nullptr) {
      add(plugin::kWarning, "scale-without-weight", key,
          fmt::format("there is no '{}.weight' for this scale", layer));
    } else if (is_wide_float(weight->info.dtype)) {
      add(plugin::kWarning, "scale-leftover", key, "a scale beside a weight that is not quantized");
    }
  }

  void look_at_scaled_fp8(const std::string& key) {
    const std::string_view prefix = without(key, kScaledFp8);
    const bool holds =
        std::any_of(file_.tensors().begin(), file_.tensors().end(), [&](const TensorRef& tensor) {
          return is_8_bit_float(tensor.info.dtype) && tensor.info.name != key &&
                 tensor.info.name.starts_with(prefix);
        });
    if (holds) return;
    add(plugin::kError, "scaled-fp8-stale", key,
        "loaders take a file with this tensor for a scaled FP8 one, and no weight here is FP8");
  }

  std::string text_of(const TensorRef& tensor) const {
    std::string text(std::min(tensor.info.bytes(), plugin::kMaxMarkerBytes), '\0');
    file_.read(tensor, 0, std::as_writable_bytes(std::span(text)));
    return text;
  }

  void look_at_marker(const TensorRef& tensor) {
    const std::string& key = tensor.info.name;
    if (weight_of(without(key, kMarker)) == nullptr) {
      return add(plugin::kError, "marker-without-weight", key, "there is no weight for this marker");
    }
    const std::optional<json> marker = parse_untrusted<json>(text_of(tensor));
    const bool named = marker && marker->is_object() && marker->contains("format");
    const std::string format = named ? (*marker)["format"].dump(-1, ' ', true) : "not named";
    add(plugin::kNote, "marker-unknown", key,
        fmt::format("no format that is installed knows this layer (format {}): it was not checked",
                    printable(format)));
  }

  void look_at_metadata() {
    const auto found = file_.metadata().find(kMetadata);
    if (found == file_.metadata().end() || metadata_mentioned_) return;
    const std::optional<json> metadata = parse_untrusted<json>(found->second);
    if (!metadata)
      return add(plugin::kError, "metadata-not-json", "", fmt::format("{} is not JSON", kMetadata));
    if (!metadata->is_object() || !metadata->contains("layers") || !(*metadata)["layers"].is_object()) {
      return add(plugin::kError, "metadata-layers-missing", "",
                 fmt::format("{} has no object 'layers'", kMetadata));
    }
    std::set<std::string> named;
    for (const auto& [layer, says] : (*metadata)["layers"].items()) compare_with_marker(layer, says, named);
    for (const TensorRef& tensor : file_.tensors()) {
      const std::string& key = tensor.info.name;
      if (!key.ends_with(kMarker) || named.contains(key)) continue;
      add(plugin::kWarning, "metadata-incomplete", key,
          fmt::format("{} does not name this layer", kMetadata));
    }
  }

  void compare_with_marker(const std::string& layer, const json& says, std::set<std::string>& named) {
    if (weight_of(layer) == nullptr) {
      return add(plugin::kWarning, "metadata-stale", layer,
                 fmt::format("{} names a layer that has no weight", kMetadata));
    }
    for (const std::string_view prefix : stored::kHeaderPrefixes) {
      const TensorRef* marker = file_.find(std::string(prefix) + layer + std::string(kMarker));
      if (marker == nullptr) continue;
      named.insert(marker->info.name);
      const std::optional<json> baked = parse_untrusted<json>(text_of(*marker));
      if (!baked || *baked == says) continue;
      add(plugin::kError, "metadata-disagrees", marker->info.name,
          fmt::format("{} says something else than the marker, and some loaders let it win", kMetadata));
    }
  }

  const checkpoint::Checkpoint& file_;
  const stored::Survey& survey_;
  std::set<std::string> mentioned_;  // tensors that the survey has a finding about
  std::set<std::string> broken_;     // layers with an error
  bool metadata_mentioned_ = false;
  std::vector<plugin::Finding> findings_;
};

}  // namespace

std::vector<plugin::Finding> find_leftovers(const checkpoint::Checkpoint& file,
                                            const stored::Survey& survey) {
  return Search(file, survey).run();
}

}  // namespace octavo::report
