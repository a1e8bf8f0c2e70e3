#include "int8/claims.hpp"

#include "int8/entries.hpp"

#include <nlohmann/json.hpp>

#include <map>
#include <unordered_set>
#include <utility>

namespace octavo::int8 {
namespace {

constexpr std::string_view kMarkerSuffix = ".comfy_quant";
constexpr std::string_view kLegacySuffix = ".scale_weight";
constexpr const char* kMetadataKey = "_quantization_metadata";
constexpr std::size_t kMetadataLimit = std::size_t{16} << 20;
// ComfyUI reads the metadata again after it has cut the prefix of the diffusion model off.
constexpr const char* kDiffusionPrefixes[] = {"model.diffusion_model.", "model.model.", "net."};

std::optional<std::string> base_of(std::string_view name, std::string_view suffix) {
  if (name.size() <= suffix.size() || !name.ends_with(suffix)) return std::nullopt;
  return std::string(name.substr(0, name.size() - suffix.size()));
}

// Key of the layer's weight: `<base>.weight`, or the base itself (bare LoRA keys).
std::string weight_key(const HeaderView& header, const std::string& base) {
  if (header.find(base + ".weight")) return base + ".weight";
  if (header.find(base)) return base;
  return {};
}

bool is_i8(const HeaderView& header, const std::string& key) {
  if (key.empty()) return false;
  return header.find(key)->dtype == OCTAVO_I8;
}

std::optional<Layout> layout_of(const Marker& marker) {
  if (marker.format == kTensorwise) return marker.convrot ? Layout::convrot : Layout::plain;
  if (marker.format == kBlockwise) return Layout::blockwise;
  if (marker.format == kAxiswise) return Layout::axiswise;
  return std::nullopt;
}

// What the shape of a legacy scale implies. A shape that fits nothing is left to the plain layout, which says
// what is wrong with it.
Marker implied_marker(const HeaderTensor& weight, const HeaderTensor& scale) {
  Marker marker;
  marker.format = kTensorwise;
  if (weight.shape.size() != 2) return marker;
  const std::int64_t rows = weight.shape[0];
  const std::int64_t cols = weight.shape[1];
  if (scale.shape.size() == 1 && scale.shape[0] == rows && rows > 1) marker.format = kAxiswise;
  if (scale.shape.size() != 2 || (scale.shape[0] == rows && scale.shape[1] == 1)) return marker;
  const std::int64_t down = scale.shape[0];
  const std::int64_t across = scale.shape[1];
  if (down < 1 || across < 1 || rows % down != 0 || cols % across != 0) return marker;
  if (rows / down != cols / across) return marker;
  marker.format = kBlockwise;
  marker.group_size = rows / down;
  return marker;
}

// Collects claims; a layer that the metadata names has its marker overruled.
class Collector {
 public:
  explicit Collector(const HeaderView& header) : header_(header) {}

  Claims collect() {
    read_markers();
    read_metadata();
    for (auto& [base, said] : markers_) {
      if (!overruled_.contains(base)) add(base, said);
    }
    read_legacy();
    return std::move(claims_);
  }

 private:
  struct Said {
    MarkerReading reading;
    std::string by;
    std::optional<std::uint64_t> tensor;
    std::vector<Finding> findings = {};
  };

  void unreadable(const std::string& code, const std::string& tensor, const std::string& message) {
    claims_.unreadable.push_back({OCTAVO_SEVERITY_ERROR, code, tensor, message});
  }

  void read_markers() {
    for (std::uint64_t i = 0; i < header_.size(); ++i) {
      const HeaderTensor tensor = header_.tensor(i);
      const std::optional<std::string> base = base_of(tensor.name, kMarkerSuffix);
      if (!base) {
        if (tensor.name.ends_with(kLegacySuffix)) legacy_.push_back(std::string(tensor.name));
        continue;
      }
      const std::optional<std::string_view> bytes = header_.marker(i);
      if (!bytes || tensor.shape.size() != 1) {
        unreadable("marker-dtype", std::string(tensor.name),
                   "the marker is not a 1-D U8 tensor of at most 64 KiB");
        continue;
      }
      markers_.emplace(*base, Said{read_marker(*bytes), std::string(tensor.name), i});
    }
  }

  void read_metadata() {
    const std::optional<std::string_view> text = header_.metadata(kMetadataKey);
    if (!text) return;
    if (text->size() > kMetadataLimit) {
      unreadable("metadata-too-large", "", "_quantization_metadata is larger than 16 MiB");
      return;
    }
    const std::optional<nlohmann::json> parsed = parse_json(*text);
    if (!parsed || !parsed->is_object()) {
      unreadable("metadata-not-json", "", "_quantization_metadata is not a JSON object");
      return;
    }
    const auto layers = parsed->find("layers");
    if (layers == parsed->end() || !layers->is_object()) {
      unreadable("metadata-layers-missing", "",
                 "_quantization_metadata has no object \"layers\"; ComfyUI stops with an error");
      return;
    }
    for (const auto& [name, object] : layers->items()) overrule(name, object);
  }

  void overrule(const std::string& name, const nlohmann::json& object) {
    const std::string base = name_in_file(name);
    Said said{read_marker(object), base + ".weight", std::nullopt};
    if (const auto baked = markers_.find(base); baked != markers_.end()) {
      said.tensor = baked->second.tensor;
      said.by = baked->second.by;
      if (baked->second.reading.fault) {
        said.findings.push_back({OCTAVO_SEVERITY_ERROR, baked->second.reading.fault->code, said.by,
                                 baked->second.reading.fault->message});
      }
      const std::optional<Marker>& marker = baked->second.reading.marker;
      if (marker && said.reading.marker && !(*marker == *said.reading.marker)) {
        said.findings.push_back({OCTAVO_SEVERITY_ERROR, "metadata-disagrees", said.by,
                                 "_quantization_metadata says otherwise than the marker: ComfyUI follows the "
                                 "metadata, stable-diffusion.cpp the marker"});
      }
    }
    overruled_.insert(base);
    add(base, said);
  }

  std::string name_in_file(const std::string& name) const {
    if (!weight_key(header_, name).empty()) return name;
    for (const char* prefix : kDiffusionPrefixes) {
      if (!weight_key(header_, prefix + name).empty()) return prefix + name;
    }
    return name;
  }

  // Codes that were rotated on both sides: another format's, whatever their marker says.
  bool is_transformed(const std::string& base) const {
    return header_.find(base + ".hadamard_quip").has_value();
  }

  void add(const std::string& base, Said& said) {
    if (is_transformed(base)) return;
    if (!said.reading.marker) {
      unreadable(said.reading.fault->code, said.by, said.reading.fault->message);
      return;
    }
    Claim claim{Layout::plain,        base,        said.by, weight_key(header_, base),
                *said.reading.marker, said.tensor, false,   std::move(said.findings)};
    if (said.reading.fault) {
      claim.findings.push_back(
          {OCTAVO_SEVERITY_ERROR, said.reading.fault->code, said.by, said.reading.fault->message});
    }
    // Files without `format` exist (comfy-quants, early INT8-Fast); beside I8 codes they mean one thing.
    if (claim.marker.format.empty() && is_i8(header_, claim.weight)) claim.marker.format = kTensorwise;
    const std::optional<Layout> layout = layout_of(claim.marker);
    if (layout) {
      claim.layout = *layout;
      claims_.layers.push_back(std::move(claim));
    } else if (claim.marker.format.empty()) {
      claims_.unreadable.insert(claims_.unreadable.end(), claim.findings.begin(), claim.findings.end());
    }
  }

  void read_legacy() {
    for (const std::string& scale_key : legacy_) {
      const std::string base = *base_of(scale_key, kLegacySuffix);
      if (markers_.contains(base) || overruled_.contains(base) || is_transformed(base)) continue;
      const std::string weight = weight_key(header_, base);
      if (!is_i8(header_, weight)) continue;  // legacy FP8 and others
      const Marker marker = implied_marker(*header_.find(weight), *header_.find(scale_key));
      claims_.layers.push_back({*layout_of(marker), base, weight, weight, marker, std::nullopt, true, {}});
    }
  }

  HeaderView header_;
  Claims claims_;
  std::map<std::string, Said> markers_;  // by base; sorted, so that reports have one order
  std::unordered_set<std::string> overruled_;
  std::vector<std::string> legacy_;
};

}  // namespace

Claims claims_of(const HeaderView& header) { return Collector(header).collect(); }

}  // namespace octavo::int8
