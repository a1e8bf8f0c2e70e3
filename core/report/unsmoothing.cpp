#include "report/unsmoothing.hpp"

#include "plan/smoothing.hpp"
#include "stored/quantized_layers.hpp"

#include <octavo/tensor.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <set>
#include <vector>

namespace octavo::report {
namespace {

using Record = std::map<std::string, std::set<std::string>>;  // producer's weight to the layers that read it

// Other people's metadata: what is no such record says nothing.
void read_record(const checkpoint::Checkpoint& file, Record& record) {
  const auto found = file.metadata().find(plan::kSmoothingRecord);
  if (found == file.metadata().end()) return;
  const auto parsed = nlohmann::json::parse(found->second, nullptr, false);
  if (!parsed.is_object()) return;
  for (const auto& [target, layers] : parsed.items()) {
    if (!layers.is_array()) continue;
    for (const auto& layer : layers) {
      if (layer.is_string()) record[target].insert(layer.get<std::string>());
    }
  }
}

std::optional<stored::BandSource> source_of(const Side& side, const std::string& key) {
  if (const stored::Layer* layer = side.survey.find(stored::base_name(key)))
    return stored::BandSource(side.file, *layer);
  const checkpoint::TensorRef* tensor = side.file.find(key);
  if (tensor == nullptr) return std::nullopt;
  return stored::BandSource(side.file, *tensor);
}

float usable(double ratio) {
  const auto factor = static_cast<float>(ratio);
  return std::isfinite(factor) && factor != 0 ? factor : 1.0F;
}

std::vector<float> inverse(std::vector<float> factors) {
  for (float& factor : factors) factor = 1 / factor;
  return factors;
}

// Finds the factors of one producer after the other; a linear's only when those of its own inputs are known.
class Finder {
 public:
  Finder(const Side& a, const Side& b, const CompareOptions& options, Record record)
      : a_(a), b_(b), record_(std::move(record)), lane_(on_host(options)) {
    for (const auto& [target, layers] : record_) {
      for (const std::string& layer : layers) producers_.emplace(layer, target);
    }
  }

  std::map<std::string, stored::Scaling, std::less<>> find() {
    for (const auto& [target, layers] : record_) add(target);
    return std::move(scalings_);
  }

 private:
  static stored::BandLane on_host(const CompareOptions& options) {
    stored::BandLane lane = options.open_lane(0, 1);
    return lane.on_host() ? std::move(lane) : stored::BandLane(*lane.raw().host);
  }

  void add(const std::string& target) {
    if (!done_.insert(target).second) return;
    const std::string base(stored::base_name(target));
    if (const auto before = producers_.find(base); before != producers_.end()) add(before->second);
    const std::vector<float> factors = ratios(target, base);
    if (factors.empty()) return;
    for (const std::string& layer : record_.at(target)) scalings_[layer].columns = inverse(factors);
    const checkpoint::TensorRef* weight = a_.file.find(target);
    const bool is_norm = weight != nullptr && weight->info.shape.size() == 1;
    (is_norm ? scalings_[base].columns : scalings_[base].rows) = factors;
    scalings_[base + ".bias"].columns = factors;
  }

  // Empty where the files do not both hold the producer.
  std::vector<float> ratios(const std::string& target, const std::string& base) {
    std::optional<stored::BandSource> a = source_of(a_, target), b = source_of(b_, target);
    if (!a || !b || a->rows() != b->rows() || a->cols() != b->cols()) return {};
    if (!a->unreadable().empty() || !b->unreadable().empty()) return {};
    if (const auto own = scalings_.find(base); own != scalings_.end()) b->scale_by(own->second);
    std::vector<float> factors;
    const checkpoint::TensorRef* tensor = a_.file.find(target);
    const bool is_norm = tensor != nullptr && tensor->info.shape.size() == 1;
    const int64_t step = stored::band_rows(a->cols(), std::lcm(a->row_multiple(), b->row_multiple()));
    for (int64_t begin = 0; begin < a->rows(); begin += step) {
      const int64_t count = std::min(step, a->rows() - begin);
      const octavo_tensor x = a->read(lane_, buffers_a_, begin, count);
      const octavo_tensor y = b->read(lane_, buffers_b_, begin, count);
      lane_.finish();
      for (int64_t r = 0; r < count; ++r) {
        const auto* from = octavo::row_of<const float>(x, r);
        const auto* to = octavo::row_of<const float>(y, r);
        if (is_norm) {
          for (int64_t c = 0; c < a->cols(); ++c) factors.push_back(usable(double{from[c]} / double{to[c]}));
        } else {
          const double squares = std::inner_product(from, from + a->cols(), from, 0.0);
          factors.push_back(usable(squares / std::inner_product(from, from + a->cols(), to, 0.0)));
        }
      }
    }
    return factors;
  }

  const Side& a_;
  const Side& b_;
  const Record record_;
  std::map<std::string, std::string> producers_;  // of layers
  std::set<std::string> done_;
  stored::BandLane lane_;
  stored::BandBuffers buffers_a_, buffers_b_;
  std::map<std::string, stored::Scaling, std::less<>> scalings_;
};

}  // namespace

Unsmoothing::Unsmoothing(const Side& a, const Side& b, const CompareOptions& options) {
  Record record;
  read_record(a.file, record);
  read_record(b.file, record);
  if (!record.empty()) scalings_ = Finder(a, b, options, std::move(record)).find();
}

const stored::Scaling* Unsmoothing::find(std::string_view name) const {
  auto found = scalings_.find(name);
  if (found == scalings_.end()) found = scalings_.find(stored::base_name(name));
  return found == scalings_.end() ? nullptr : &found->second;
}

}  // namespace octavo::report
