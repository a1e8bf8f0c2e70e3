#include "plan/rules.hpp"

#include "base/error.hpp"
#include "checkpoint/dtypes.hpp"
#include "plan/open_plugin.hpp"

#include <octavo/tensor.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <span>
#include <utility>

namespace octavo::plan {
namespace {

// Numbered blocks of a checkpoint: how many different numbers follow the first name component that is
// numbered at all ("double_blocks.0.", "layers.17.").
int64_t count_blocks(const checkpoint::Checkpoint& source) {
  std::set<std::string> blocks;
  for (const checkpoint::TensorRef& tensor : source.tensors()) {
    const std::string& key = tensor.info.name;
    for (size_t dot = key.find('.'); dot != std::string::npos; dot = key.find('.', dot + 1)) {
      const size_t end = key.find_first_not_of("0123456789", dot + 1);
      if (end != std::string::npos && end > dot + 1 && key[end] == '.') {
        blocks.insert(key.substr(0, end));
        break;
      }
    }
  }
  return static_cast<int64_t>(blocks.size());
}

// Remove wins over keep and high precision, which win over quantize.
int strength(octavo_decision decision) {
  switch (decision) {
    case OCTAVO_DECISION_REFUSE:
      return 4;
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

Rules::Rules(const Settings& settings, const checkpoint::Checkpoint& source, plugin::Catalog& catalog,
             const octavo_host* host, std::set<size_t> dequantized)
    : source_(source),
      dequantized_(std::move(dequantized)),
      header_(shown_to_filters(source, dequantized_), source.metadata(), marker_reader(source)),
      quantized_(plan::quantized_layers(source)),
      block_count_(count_blocks(source)) {
  for (const std::string& id : settings.models) {
    if (id == "none") continue;
    if (id == "auto") {
      detect(settings, catalog, host);
    } else {
      add_model(id,
                open_plugin<plugin::Model>(catalog, OCTAVO_KIND_MODEL, {id, {}}, settings.set, host).handle,
                id + ": asked for");
    }
  }
}

void Rules::add_model(std::string id, plugin::Model model, std::string reason) {
  model_reasons_.push_back(std::move(reason));
  model_ids_.push_back(std::move(id));
  models_.push_back(std::move(model));
}

void Rules::detect(const Settings& settings, plugin::Catalog& catalog, const octavo_host* host) {
  struct Candidate {
    std::string id;
    plugin::Model model;
    plugin::Detection detection;
  };
  std::optional<Candidate> best;
  for (const plugin::Record& record : catalog.records()) {
    if (record.kind != OCTAVO_KIND_MODEL || !plugin::is_usable(record)) continue;
    if ((record.descriptor.flags & (OCTAVO_MODEL_AUTO | OCTAVO_MODEL_FALLBACK)) == 0) continue;
    Candidate candidate{
        record.id,
        open_plugin<plugin::Model>(catalog, OCTAVO_KIND_MODEL, {record.id, {}}, settings.set, host).handle,
        {}};
    candidate.detection = candidate.model.detect({header_, "", block_count_});
    if (candidate.detection.score == 0) continue;
    // Of equal scores the first in alphabetical order: records are sorted.
    if (!best || candidate.detection.score > best->detection.score) best = std::move(candidate);
  }
  if (!best) {
    throw Error(ErrorCode::unsupported, "[plan] no model filter is there to choose layers with",
                "name one with --model, or pass --model none to quantize every layer");
  }
  add_model(best->id, std::move(best->model), fmt::format("{}: {}", best->id, best->detection.reason));
}

Verdict Rules::decide(size_t index) const {
  const checkpoint::TensorInfo& info = source_.tensors()[index].info;
  const bool dequantized = dequantized_.contains(index);
  if (const std::string_view owner = owner_of(info.name, quantized_); !owner.empty() && !dequantized) {
    return {Decision::keep, "already quantized",
            fmt::format("part of layer {}, which is quantized already ({})", printable(owner),
                        printable(quantized_.find(owner)->second))};
  }
  if (info.name.find('\0') != std::string::npos) {
    return {Decision::keep, "name", "its name holds a zero byte, which plugins cannot be told"};
  }
  Verdict verdict = ask_models(index);
  if (verdict.decision != Decision::quantize) return verdict;
  const bool holds_weights = dequantized || octavo::is_weight_dtype(info.dtype);
  const bool is_layer = info.shape.size() == 2 && info.elements() > 0 && holds_weights;
  if (!is_layer) {
    return {Decision::keep, "not a layer",
            fmt::format("a {} tensor of rank {}; layers are 2-D float weights", checkpoint::name(info.dtype),
                        info.shape.size())};
  }
  return verdict;
}

Verdict Rules::ask_models(size_t index) const {
  Verdict verdict{Decision::quantize, "no filter", "every layer is quantized"};
  int strongest = 0;
  for (size_t i = 0; i < models_.size(); ++i) {
    const plugin::Classification made = models_[i].classify({header_, "", block_count_}, index);
    if (made.decision == OCTAVO_DECISION_REFUSE) {
      throw Error(ErrorCode::unsupported,
                  fmt::format("[plan] model filter {} refuses tensor {}: {}", model_ids_[i],
                              printable(source_.tensors()[index].info.name), made.reason));
    }
    if (strength(made.decision) <= strongest) continue;
    strongest = strength(made.decision);
    verdict = {decision_of(made.decision), fmt::format("model {}: {}", model_ids_[i], made.rule),
               made.reason};
  }
  return verdict;
}

}  // namespace octavo::plan
