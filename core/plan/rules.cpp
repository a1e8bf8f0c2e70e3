#include "plan/rules.hpp"

#include "base/error.hpp"
#include "checkpoint/dtypes.hpp"

#include <octavo/model_patterns.hpp>
#include <octavo/tensor.hpp>

#include <fmt/format.h>

#include <utility>

namespace octavo::plan {
namespace {

// The heuristic's block where a treatment has none of its own.
constexpr uint64_t kHeuristicBlock = 128;

bool is_layer(const checkpoint::TensorInfo& info, bool dequantized) {
  const bool holds_weights = dequantized || octavo::is_weight_dtype(info.dtype);
  return info.shape.size() == 2 && info.elements() > 0 && holds_weights && octavo::is_weight_key(info.name);
}

}  // namespace

Rules::Rules(const Settings& settings, const checkpoint::Checkpoint& source, plugin::Catalog& catalog,
             const octavo_host* host, std::set<size_t> dequantized)
    : settings_(settings),
      source_(source),
      dequantized_(std::move(dequantized)),
      filters_(settings, source, catalog, host, dequantized_),
      user_(settings.rules, source),
      quantized_(stored::quantized_layers(source)) {
  collect_treatments();
}

void Rules::collect_treatments() {
  treatments_.push_back({.format = settings_.format,
                         .optimizer = settings_.optimizer,
                         .block_size = settings_.block_size,
                         .heuristic = settings_.heuristic,
                         .bias_correction = settings_.bias_correction,
                         .full_precision_matmul = settings_.full_precision_matmul});
  const auto add = [this](const Treatment& treatment) {
    treatments_.push_back(treatment);
    return treatments_.size() - 1;
  };
  for (const ConfiguredLayers& entry : settings_.rules.config)
    config_treatments_.push_back(entry.treatment ? add(*entry.treatment) : 0);
  if (settings_.rules.custom) custom_treatment_ = add(settings_.rules.custom->treatment);
  if (settings_.rules.fallback) fallback_treatment_ = add(*settings_.rules.fallback);
}

Verdict Rules::decide(size_t index) const {
  const checkpoint::TensorInfo& info = source_.tensors()[index].info;
  const bool dequantized = dequantized_.contains(index);
  if (const std::string_view owner = stored::owner_of(info.name, quantized_);
      !owner.empty() && !dequantized) {
    return {Decision::keep, "already quantized",
            fmt::format("part of layer {}, which is quantized already ({})", printable(owner),
                        printable(quantized_.find(owner)->second))};
  }
  if (info.name.find('\0') != std::string::npos) {
    return {Decision::keep, "name", "its name holds a zero byte, which plugins cannot be told"};
  }
  Verdict verdict = filters_.decide(index);
  if (verdict.decision == Decision::remove) return verdict;
  if (is_layer(info, dequantized)) return apply_heuristic(index, decide_layer(index, std::move(verdict)));
  if (verdict.decision != Decision::quantize) return verdict;
  return {Decision::keep, "not a layer",
          fmt::format("a {} tensor of rank {}; layers are 2-D float weights", checkpoint::name(info.dtype),
                      info.shape.size())};
}

Verdict Rules::decide_layer(size_t index, Verdict by_model) const {
  if (const std::ptrdiff_t entry = user_.config_entry(index); entry >= 0) return by_config(entry);
  if (user_.is_custom(index)) {
    return {Decision::quantize, "--custom-layers",
            fmt::format("'{}' matches", printable(settings_.rules.custom->pattern.text())),
            custom_treatment_};
  }
  Verdict verdict = std::move(by_model);
  if (user_.is_excluded(index) && !verdict.fixed) {
    verdict = {Decision::keep, "--exclude-layers",
               fmt::format("'{}' matches", printable(settings_.rules.exclude->text()))};
  }
  if (verdict.decision == Decision::quantize || verdict.fixed || !settings_.rules.fallback) return verdict;
  return {Decision::quantize, "--fallback", fmt::format("excluded by {}: {}", verdict.rule, verdict.reason),
          fallback_treatment_};
}

Verdict Rules::by_config(std::ptrdiff_t entry) const {
  const auto place = static_cast<size_t>(entry);
  const ConfiguredLayers& configured = settings_.rules.config[place];
  const std::string rule = fmt::format("--layer-config: {}", printable(configured.name));
  if (!configured.treatment) return {Decision::keep, rule, "its entry says skip"};
  return {Decision::quantize, rule, "its entry in the layer config", config_treatments_[place]};
}

Verdict Rules::apply_heuristic(size_t index, Verdict verdict) const {
  const Treatment& treatment = treatments_[verdict.treatment];
  const checkpoint::TensorInfo& info = source_.tensors()[index].info;
  if (verdict.decision != Decision::quantize || !treatment.heuristic ||
      info.name.find("lora_") != std::string::npos) {
    return verdict;
  }
  const uint64_t block = treatment.block_size != 0 ? treatment.block_size : kHeuristicBlock;
  // A side below the block is never a multiple of it: it has elements.
  if (info.shape[0] % block == 0 && info.shape[1] % block == 0) return verdict;
  return {Decision::keep, "heuristic",
          fmt::format("blocks of {} do not fit {} x {}", block, info.shape[0], info.shape[1])};
}

}  // namespace octavo::plan
