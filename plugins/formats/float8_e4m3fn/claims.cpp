#include "claims.hpp"

#include "int8/marker.hpp"

#include <nlohmann/json.hpp>

#include <map>
#include <set>
#include <string_view>

namespace octavo::float8 {
namespace {

constexpr std::size_t kMetadataLimit = std::size_t{16} << 20;
// ComfyUI reads the metadata again after it has cut the prefix of the diffusion model off.
constexpr const char* kPrefixes[] = {"", "model.diffusion_model.", "model.model.", "net."};

std::string base_of(std::string_view name, std::string_view ending) {
  if (name.size() <= ending.size() || !name.ends_with(ending)) return {};
  return std::string(name.substr(0, name.size() - ending.size()));
}

class Collector {
 public:
  explicit Collector(const HeaderView& header) : header_(header) {}

  std::vector<Claim> collect() {
    for (std::uint64_t i = 0; i < header_.size(); ++i) read_marker(header_.tensor(i));
    read_metadata();
    for (std::uint64_t i = 0; i < header_.size(); ++i) read_unmarked(header_.tensor(i));
    std::vector<Claim> claims;
    for (auto& [base, claim] : claims_) claims.push_back(std::move(claim));
    return claims;
  }

 private:
  void read_marker(const HeaderTensor& tensor) {
    const std::string base = base_of(tensor.name, ".comfy_quant");
    if (base.empty()) return;
    marked_.insert(base);
    const std::optional<std::string_view> bytes = header_.marker(tensor.index);
    if (!bytes) return;
    add(base, int8::read_marker(*bytes), tensor.index);
  }

  void add(const std::string& base, const int8::MarkerReading& reading, std::optional<std::uint64_t> tensor) {
    if (!reading.marker || reading.marker->format != kFormat) return;
    claims_[base] = {base, ".weight_scale", tensor, true, reading.marker->full_precision};
  }

  void read_metadata() {
    const std::optional<std::string_view> text = header_.metadata("_quantization_metadata");
    if (!text || text->size() > kMetadataLimit) return;
    const std::optional<nlohmann::json> parsed = int8::parse_json(*text);
    if (!parsed || !parsed->is_object()) return;
    const auto layers = parsed->find("layers");
    if (layers == parsed->end() || !layers->is_object()) return;
    for (const auto& [name, object] : layers->items()) overrule(name, int8::read_marker(object));
  }

  void overrule(const std::string& name, const int8::MarkerReading& reading) {
    std::string base = name;
    for (const char* prefix : kPrefixes) {
      if (!header_.find(prefix + name + ".weight")) continue;
      base = prefix + name;
      break;
    }
    const std::optional<HeaderTensor> marker = header_.find(base + ".comfy_quant");
    claims_.erase(base);
    marked_.insert(base);
    add(base, reading, marker ? std::optional(marker->index) : std::nullopt);
  }

  void read_unmarked(const HeaderTensor& tensor) {
    for (const char* ending : {".weight_scale", ".scale_weight"}) {
      const std::string base = base_of(tensor.name, ending);
      if (base.empty() || marked_.contains(base)) continue;
      const std::optional<HeaderTensor> weight = header_.find(base + ".weight");
      if (weight && weight->dtype == OCTAVO_F8_E4M3)
        claims_.emplace(base, Claim{base, ending, std::nullopt, false, false});
    }
  }

  HeaderView header_;
  std::map<std::string, Claim> claims_;
  std::set<std::string> marked_;  // a marker says what they are, whatever it is
};

}  // namespace

std::vector<Claim> claims_of(const HeaderView& header) { return Collector(header).collect(); }

}  // namespace octavo::float8
