// Which tensors are quantized, and how: the rules in their order of precedence, each with the reason it
// gives.
#pragma once

#include "checkpoint/reader.hpp"
#include "plan/model_filters.hpp"
#include "plan/settings.hpp"
#include "plan/user_rules.hpp"
#include "plan/verdict.hpp"
#include "plugin/catalog.hpp"
#include "stored/quantized_layers.hpp"

#include <set>
#include <string>
#include <vector>

namespace octavo::plan {

// Precedence: a part of a layer that is quantized already; what a model filter leaves out; what is no layer;
// the layer config; --custom-layers; --exclude-layers; the model filters. --fallback takes what the last two
// exclude. At the end the heuristic keeps what the blocks of its treatment do not fit.
class Rules {
 public:
  // Opens the filters that settings name, or detects them. `settings` outlives the rules. `dequantized`:
  // weights of the source, by index, that are decided like float layers although they are stored as codes.
  // Throws Error usage or unsupported for an unknown filter.
  Rules(const Settings& settings, const checkpoint::Checkpoint& source, plugin::Catalog& catalog,
        const octavo_host* host, std::set<size_t> dequantized = {});

  // `index`: of the tensor in the source.
  Verdict decide(size_t index) const;

  // The model filter's word on where SmoothQuant's factors of this layer can be folded: a key, or "".
  std::string fold_target(size_t index) const { return filters_.fold_target(index); }

  // The run's own, those of the config's entries, of --custom-layers, of --fallback, in this order.
  // Verdict::treatment is an index into it.
  const std::vector<Treatment>& treatments() const { return treatments_; }
  // Ids of the filters at work, and why they were taken ("id: 57 of 57 signature keys").
  const std::vector<std::string>& model_ids() const { return filters_.ids(); }
  const std::vector<std::string>& model_reasons() const { return filters_.reasons(); }
  const std::vector<std::string>& warnings() const { return user_.warnings(); }
  const std::map<std::string, std::string, std::less<>>& quantized_layers() const { return quantized_; }

 private:
  void collect_treatments();
  Verdict decide_layer(size_t index, Verdict by_model) const;
  Verdict by_config(std::ptrdiff_t entry) const;
  Verdict apply_heuristic(size_t index, Verdict verdict) const;

  const Settings& settings_;
  const checkpoint::Checkpoint& source_;
  std::set<size_t> dequantized_;
  ModelFilters filters_;
  UserRules user_;
  std::map<std::string, std::string, std::less<>> quantized_;
  std::vector<Treatment> treatments_;
  std::vector<size_t> config_treatments_;  // of each entry of the layer config
  size_t custom_treatment_ = 0;
  size_t fallback_treatment_ = 0;
};

}  // namespace octavo::plan
