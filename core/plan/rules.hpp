// Which tensors are quantized: the rules in their order of precedence, each with the reason it gives.
#pragma once

#include "checkpoint/reader.hpp"
#include "plan/settings.hpp"
#include "plan/source_layers.hpp"
#include "plugin/catalog.hpp"
#include "plugin/header.hpp"
#include "plugin/model.hpp"

#include <memory>
#include <set>
#include <string>
#include <vector>

namespace octavo::plan {

enum class Decision { quantize, keep, high_precision, remove };

const char* name(Decision decision);  // "quantize", "keep", "high_precision", "remove"

struct Verdict {
  Decision decision = Decision::keep;
  std::string rule;    // what decided: "model generic: norm", "already quantized"
  std::string reason;  // for people
};

// Precedence: a part of a layer that is quantized already, what is no layer, then the model filters (remove,
// then keep and high precision, then quantize).
class Rules {
 public:
  // Opens the filters that settings name, or detects them. Throws Error usage or unsupported for an unknown
  // one. `dequantized`: weights of the source, by index, that are decided like float layers although they are
  // stored as codes.
  Rules(const Settings& settings, const checkpoint::Checkpoint& source, plugin::Catalog& catalog,
        const octavo_host* host, std::set<size_t> dequantized = {});

  // `index`: of the tensor in the source.
  Verdict decide(size_t index) const;

  // Ids of the filters at work, and why they were taken ("id: 57 of 57 signature keys").
  const std::vector<std::string>& model_ids() const { return model_ids_; }
  const std::vector<std::string>& model_reasons() const { return model_reasons_; }
  const std::map<std::string, std::string, std::less<>>& quantized_layers() const { return quantized_; }

 private:
  void detect(const Settings& settings, plugin::Catalog& catalog, const octavo_host* host);
  void add_model(std::string id, plugin::Model model, std::string reason);
  Verdict ask_models(size_t index) const;

  const checkpoint::Checkpoint& source_;
  std::set<size_t> dequantized_;
  plugin::Header header_;
  std::map<std::string, std::string, std::less<>> quantized_;
  std::vector<plugin::Model> models_;
  std::vector<std::string> model_ids_;
  std::vector<std::string> model_reasons_;
  int64_t block_count_ = 0;
};

}  // namespace octavo::plan
