// Layers of the source that are quantized already and are taken as a source: they are dequantized first.
//
// Scaled 8-bit floats are; integers only on request, because what was rounded once loses again. A layer that
// stays as it is after all (a filter, a format or the data says so) keeps all of its tensors; of one that is
// dequantized only the weight goes on, and its scales and marker are dropped.
#pragma once

#include "plan/rules.hpp"
#include "stored/survey.hpp"

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

namespace octavo::plan {

class StoredSources {
 public:
  // `survey`: nullptr if the source holds plain weights only.
  StoredSources(const checkpoint::Checkpoint& source, const stored::Survey* survey, bool requantize);

  // Layers to be dequantized, by base name.
  const std::map<std::string, const stored::Layer*, std::less<>>& layers() const { return layers_; }
  // Of their weights: indexes in the source.
  const std::set<size_t>& codes() const { return codes_; }
  size_t index_of(const checkpoint::TensorRef& tensor) const;
  // The layer whose weight this is, or nullptr.
  const stored::Layer* find(const checkpoint::TensorRef& tensor) const;
  // It is the weight of a layer that was to be dequantized when the rules were asked.
  bool is_codes(const checkpoint::TensorRef& tensor) const { return codes_.contains(index_of(tensor)); }
  // The layer stays as it is.
  void keep(const std::string& name) { layers_.erase(name); }

  // What becomes of a scale, a marker or another part of a layer that is dequantized, and of the file's mark
  // of legacy scaled FP8 when no such layer is left. Nothing for every other tensor.
  std::optional<Verdict> decide_part(
      const checkpoint::TensorRef& tensor,
      const std::map<std::string, std::string, std::less<>>& quantized_layers) const;
  // Adds to the reason of a layer that stays why it does.
  void explain(const checkpoint::TensorRef& tensor, Verdict& verdict) const;
  // `quantized_layers` without those that are dequantized.
  std::map<std::string, std::string, std::less<>> remaining(
      std::map<std::string, std::string, std::less<>> quantized_layers) const;
  bool hint_at_requantize() const { return !integers_.empty(); }

 private:
  const checkpoint::Checkpoint& source_;
  std::map<std::string, const stored::Layer*, std::less<>> layers_;
  std::set<size_t> codes_;
  std::map<const checkpoint::TensorRef*, std::string> parts_;  // to the layer's base name
  std::set<std::string, std::less<>> integers_;                // layers that --requantize would take
};

}  // namespace octavo::plan
