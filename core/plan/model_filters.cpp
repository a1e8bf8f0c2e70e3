#include "plan/model_filters.hpp"

#include "base/error.hpp"
#include "plan/open_plugin.hpp"
#include "stored/quantized_layers.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <span>
#include <utility>

namespace octavo::plan {
namespace {

// Numbered blocks of one part: how many different numbers follow the first name component that is numbered
// at all ("double_blocks.0.", "layers.17.").
std::int64_t count_blocks(const checkpoint::Checkpoint& source, const Parts& parts, std::size_t part) {
  std::set<std::string> blocks;
  const std::size_t start = parts.parts[part].prefix.size();
  for (std::size_t i = 0; i < source.tensors().size(); ++i) {
    const std::string& key = source.tensors()[i].info.name;
    if (parts.of[i] != part || !key.starts_with(parts.parts[part].prefix)) continue;
    for (std::size_t dot = key.find('.', start); dot != std::string::npos; dot = key.find('.', dot + 1)) {
      const std::size_t end = key.find_first_not_of("0123456789", dot + 1);
      if (end != std::string::npos && end > dot + 1 && key[end] == '.') {
        blocks.insert(key.substr(0, end));
        break;
      }
    }
  }
  return static_cast<std::int64_t>(blocks.size());
}

int strength(octavo_decision decision) {
  switch (decision) {
    case OCTAVO_DECISION_REMOVE:
      return 3;
    case OCTAVO_DECISION_HIGH_PRECISION:
    case OCTAVO_DECISION_KEEP:
      return 2;
    default:
      return 1;
  }
}

Decision decision_of(octavo_decision decision) {
  switch (decision) {
    case OCTAVO_DECISION_QUANTIZE:
      return Decision::quantize;
    case OCTAVO_DECISION_HIGH_PRECISION:
      return Decision::high_precision;
    case OCTAVO_DECISION_REMOVE:
      return Decision::remove;
    default:
      return Decision::keep;
  }
}

const char* word_for(PartKind kind) {
  return kind == PartKind::vae ? "VAE" : kind == PartKind::text_encoder ? "text encoder" : "network";
}

// The source's header as filters see it: codes that will be dequantized are floats there.
std::vector<plugin::HeaderEntry> shown_to_filters(const checkpoint::Checkpoint& source,
                                                  const std::set<size_t>& dequantized) {
  std::vector<plugin::HeaderEntry> entries;
  for (const checkpoint::TensorRef& tensor : source.tensors()) {
    const checkpoint::TensorInfo& info = tensor.info;
    const octavo_dtype dtype = dequantized.contains(entries.size()) ? OCTAVO_BF16 : info.dtype;
    entries.push_back({info.name, dtype, {info.shape.begin(), info.shape.end()}, info.bytes()});
  }
  return entries;
}

plugin::Header::ReadMarker marker_reader(const checkpoint::Checkpoint& source) {
  return [&source](uint64_t index, std::vector<uint8_t>& bytes) {
    source.read(source.tensors()[index], 0, std::as_writable_bytes(std::span(bytes)));
  };
}

bool holds(const std::vector<std::string>& list, std::string_view text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

std::shared_ptr<plugin::Model> open_filter(plugin::Catalog& catalog, const std::string& id,
                                           const Settings& settings, const octavo_host* host) {
  auto opened = open_plugin<plugin::Model>(catalog, OCTAVO_KIND_MODEL, {id, {}}, settings.set, host);
  return std::make_shared<plugin::Model>(std::move(opened.handle));
}

}  // namespace

const char* name(Decision decision) {
  switch (decision) {
    case Decision::quantize:
      return "quantize";
    case Decision::high_precision:
      return "high_precision";
    case Decision::remove:
      return "remove";
    default:
      return "keep";
  }
}

struct ModelFilters::Found {
  std::string id;
  std::shared_ptr<plugin::Model> model;
  plugin::Detection detection;
  bool is_fallback = false;
};

ModelFilters::ModelFilters(const Settings& settings, const checkpoint::Checkpoint& source,
                           plugin::Catalog& catalog, const octavo_host* host,
                           const std::set<std::size_t>& dequantized)
    : source_(source),
      header_(shown_to_filters(source, dequantized), source.metadata(), marker_reader(source)),
      parts_(find_parts(source)),
      kept_parts_(parts_.parts.size()) {
  for (std::size_t part = 0; part < parts_.parts.size(); ++part)
    block_counts_.push_back(count_blocks(source, parts_, part));
  for (const std::string& id : settings.models) {
    if (id == "none" || id == "auto") continue;
    filters_.push_back({id, open_filter(catalog, id, settings, host), {}});
    ids_.push_back(id);
    reasons_.push_back(id + ": asked for");
  }
  if (holds(settings.models, "auto")) detect(settings, catalog, host);
  if (holds(settings.models, "none")) return;
  for (std::size_t part = 0; part < parts_.parts.size(); ++part) {
    if (parts_.parts[part].kind == PartKind::vae) keep_part(part, "its loader expects plain weights");
  }
}

plugin::ModelContext ModelFilters::context(std::size_t part) const {
  return {header_, parts_.parts[part].prefix, block_counts_[part]};
}

std::string ModelFilters::in_part(std::size_t part) const {
  if (parts_.parts.size() == 1) return {};
  const std::string& prefix = parts_.parts[part].prefix;
  return prefix.empty() ? " (keys without prefix)" : fmt::format(" ({})", printable(prefix));
}

void ModelFilters::keep_part(std::size_t part, std::string reason) {
  const char* what = word_for(parts_.parts[part].kind);
  reasons_.push_back(fmt::format("{}{}: stays as it is, {}", what, in_part(part), reason));
  kept_parts_[part] = std::move(reason);
}

// Every filter is asked about every part; each part takes the one with the highest score.
std::vector<std::optional<ModelFilters::Found>> ModelFilters::best_filters(const Settings& settings,
                                                                           plugin::Catalog& catalog,
                                                                           const octavo_host* host) const {
  std::vector<std::optional<Found>> best(parts_.parts.size());
  for (const plugin::Record& record : catalog.records()) {
    if (record.kind != OCTAVO_KIND_MODEL || !plugin::is_usable(record)) continue;
    if ((record.descriptor.flags & (OCTAVO_MODEL_AUTO | OCTAVO_MODEL_FALLBACK)) == 0) continue;
    const std::shared_ptr<plugin::Model> model = open_filter(catalog, record.id, settings, host);
    const bool is_fallback = (record.descriptor.flags & OCTAVO_MODEL_FALLBACK) != 0;
    for (std::size_t part = 0; part < parts_.parts.size(); ++part) {
      if (parts_.parts[part].kind == PartKind::vae) continue;
      plugin::Detection detection = model->detect(context(part));
      // Of equal scores the first in alphabetical order: records are sorted.
      if (detection.score > (best[part] ? best[part]->detection.score : 0))
        best[part] = Found{record.id, model, std::move(detection), is_fallback};
    }
  }
  return best;
}

void ModelFilters::detect(const Settings& settings, plugin::Catalog& catalog, const octavo_host* host) {
  const bool others_judge = !filters_.empty() || holds(settings.models, "none");
  std::vector<std::optional<Found>> best = best_filters(settings, catalog, host);
  for (std::size_t part = 0; part < parts_.parts.size(); ++part) {
    const PartKind kind = parts_.parts[part].kind;
    if (kind == PartKind::text_encoder && (!best[part] || best[part]->is_fallback)) {
      if (!others_judge) keep_part(part, "no filter recognises it");
    } else if (best[part]) {
      place(part, *std::move(best[part]));
    } else if (kind == PartKind::network) {
      throw Error(ErrorCode::unsupported, "[plan] no model filter is there to choose layers with",
                  "name one with --model, or pass --model none to quantize every layer");
    }
  }
}

void ModelFilters::place(std::size_t part, Found found) {
  reasons_.push_back(fmt::format("{}: {}{}", found.id, found.detection.reason, in_part(part)));
  if (!holds(ids_, found.id)) ids_.push_back(found.id);
  filters_.push_back({std::move(found.id), std::move(found.model), {part}});
}

bool ModelFilters::judges(const Filter& filter, std::size_t part) const {
  return filter.parts.empty() ||
         std::find(filter.parts.begin(), filter.parts.end(), part) != filter.parts.end();
}

Verdict ModelFilters::decide(std::size_t index) const {
  const std::size_t part = parts_.of[index];
  if (!kept_parts_[part].empty()) {
    const char* what = word_for(parts_.parts[part].kind);
    return {Decision::keep, fmt::format("part {}", what),
            fmt::format("part of the {}: {}", what, kept_parts_[part]), 0, true};
  }
  Verdict verdict{Decision::quantize, "no filter", "every layer is quantized"};
  int strongest = 0;
  for (const Filter& filter : filters_) {
    if (!judges(filter, part)) continue;
    // A filter that was asked for reads the file as a whole, as its published list does.
    const plugin::ModelContext where =
        filter.parts.empty() ? plugin::ModelContext{header_, "", block_counts_[part]} : context(part);
    const plugin::Classification made = filter.model->classify(where, index);
    if (made.decision == OCTAVO_DECISION_REFUSE) {
      throw Error(ErrorCode::unsupported,
                  fmt::format("[plan] model filter {} refuses tensor {}: {}", filter.id,
                              printable(source_.tensors()[index].info.name), made.reason));
    }
    if (strength(made.decision) <= strongest) continue;
    strongest = strength(made.decision);
    verdict = {decision_of(made.decision), fmt::format("model {}: {}", filter.id, made.rule), made.reason};
  }
  return verdict;
}

std::string ModelFilters::fold_target(std::size_t index) const {
  const std::size_t part = parts_.of[index];
  const std::string layer(stored::base_name(source_.tensors()[index].info.name));
  for (const Filter& filter : filters_) {
    if (!judges(filter, part)) continue;
    if (std::string target = filter.model->fold_target(context(part), layer); !target.empty()) return target;
  }
  return {};
}

}  // namespace octavo::plan
