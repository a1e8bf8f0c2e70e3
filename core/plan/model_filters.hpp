// The model filters at work, part by part: which ones, why, and what they say about a tensor.
#pragma once

#include "checkpoint/reader.hpp"
#include "plan/parts.hpp"
#include "plan/settings.hpp"
#include "plan/verdict.hpp"
#include "plugin/catalog.hpp"
#include "plugin/header.hpp"
#include "plugin/model.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace octavo::plan {

// Filters that were asked for judge every part; `auto` finds one for each part of its own. A VAE stays as it
// is, and so does a text encoder that no filter recognises: their loaders expect plain weights. (`none` takes
// every layer of every part.)
class ModelFilters {
 public:
  // `dequantized`: weights of the source that filters see as floats although they are stored as codes. Throws
  // Error usage or unsupported for a filter that is not there.
  ModelFilters(const Settings& settings, const checkpoint::Checkpoint& source, plugin::Catalog& catalog,
               const octavo_host* host, const std::set<std::size_t>& dequantized);

  // Remove wins over keep and high precision, which win over quantize. `index`: of the tensor in the source.
  // Throws Error unsupported where a filter refuses the file.
  Verdict decide(std::size_t index) const;

  // Key of the weight that 1/s of SmoothQuant can be folded into for this layer: of the first filter that
  // names one. "" for none.
  std::string fold_target(std::size_t index) const;

  const std::vector<std::string>& ids() const { return ids_; }
  // "<id>: 57 of 57 signature keys"; of a file with several parts "(model.diffusion_model.)" follows.
  const std::vector<std::string>& reasons() const { return reasons_; }

 private:
  struct Filter {
    std::string id;
    std::shared_ptr<plugin::Model> model;
    std::vector<std::size_t> parts;  // that it judges; empty: all
  };
  struct Found;

  // Of each part the filter that recognises it best; nothing where none does, and for a VAE.
  std::vector<std::optional<Found>> best_filters(const Settings& settings, plugin::Catalog& catalog,
                                                 const octavo_host* host) const;
  void detect(const Settings& settings, plugin::Catalog& catalog, const octavo_host* host);
  void place(std::size_t part, Found found);
  void keep_part(std::size_t part, std::string reason);
  plugin::ModelContext context(std::size_t part) const;
  std::string in_part(std::size_t part) const;
  bool judges(const Filter& filter, std::size_t part) const;

  const checkpoint::Checkpoint& source_;
  plugin::Header header_;
  Parts parts_;
  std::vector<std::int64_t> block_counts_;  // of each part
  std::vector<Filter> filters_;
  std::vector<std::string> kept_parts_;  // of each part: why it stays as it is, "" if it does not
  std::vector<std::string> ids_;
  std::vector<std::string> reasons_;
};

}  // namespace octavo::plan
