#include "plan/provenance.hpp"

#include "base/json.hpp"

#include <optional>

namespace octavo::plan {
namespace {

using Json = nlohmann::ordered_json;

const char* text(Nonfinite policy) {
  switch (policy) {
    case Nonfinite::keep:
      return "keep";
    case Nonfinite::zero:
      return "zero";
    default:
      return "error";
  }
}

const char* text(CastOverflow policy) {
  switch (policy) {
    case CastOverflow::clamp:
      return "clamp";
    case CastOverflow::error:
      return "error";
    default:
      return "keep";
  }
}

Json describe(const PlannedPlugin& plugin) {
  Json described = {{"id", plugin.id}};
  if (!plugin.params.empty()) described["params"] = plugin.params;
  return described;
}

// What its plugins were opened with, --set and block size included. `asked`: what it was opened for.
Json describe(const OpenedTreatment& opened, const Treatment& asked) {
  Json described = {{"format", describe(opened.format.plugin)},
                    {"optimizer", describe(opened.optimizer.plugin)},
                    {"full_precision_matrix_mult", opened.full_precision_matmul}};
  if (asked.block_size != 0) described["block_size"] = asked.block_size;
  if (asked.heuristic) described["heuristic"] = true;
  if (!opened.bias_correction) described["bias_correction"] = false;
  return described;
}

// Empty where nothing is asked for.
Json describe(const FragileRequest& request) {
  Json described = Json::object();
  if (request.keep_worst) described["keep_worst"] = request.keep_worst->text;
  if (request.min_sqnr_db) described["min_sqnr_db"] = *request.min_sqnr_db;
  if (request.target_bytes) described["target_bytes"] = *request.target_bytes;
  return described;
}

Json describe(const checkpoint::ShardRule& rule) {
  return rule.count != 0 ? Json{{"count", rule.count}} : Json{{"max_bytes", rule.max_bytes}};
}

// An empty object where there are none. A config's file is not named, only its content; what its entries
// leave open comes from elsewhere. `treatments`: as Rules has them.
Json describe(const LayerRules& rules, const std::vector<OpenedTreatment>& treatments) {
  Json described = Json::object();
  auto opened = treatments.begin() + 1;
  if (!rules.config_hash.empty()) {
    described["layer_config_xxh3_128"] = rules.config_hash;
    described["full_match"] = rules.full_match;
  }
  for (const ConfiguredLayers& entry : rules.config) {
    if (entry.treatment) described["layer_config"].push_back(describe(*opened++, *entry.treatment));
  }
  if (rules.custom) {
    described["custom"] = describe(*opened++, rules.custom->treatment);
    described["custom"]["pattern"] = rules.custom->pattern.text();
  }
  if (rules.exclude) described["exclude"] = rules.exclude->text();
  if (rules.fallback) described["fallback"] = describe(*opened, *rules.fallback);
  return described;
}

Json describe(const Plan& plan, const std::vector<OpenedTreatment>& treatments,
              const std::vector<std::string>& model_ids) {
  const Settings& settings = plan.settings;
  Json described = {{"format", describe(plan.format)},
                    {"optimizer", describe(plan.optimizer)},
                    {"models", model_ids},
                    {"seed", settings.seed},
                    {"nonfinite", text(settings.nonfinite)},
                    {"fp16_overflow", text(settings.cast_overflow)},
                    {"full_precision_matrix_mult", settings.full_precision_matmul},
                    {"legacy_keys", settings.legacy_keys},
                    {"input_scale", settings.input_scale}};
  if (settings.block_size != 0) described["block_size"] = settings.block_size;
  if (settings.heuristic) described["heuristic"] = true;
  if (const Json rules = describe(settings.rules, treatments); !rules.empty()) described["rules"] = rules;
  if (!settings.fragile.empty()) described["fragile"] = describe(settings.fragile);
  if (settings.save_quant_metadata) described["save_quant_metadata"] = true;
  if (settings.shards) described["shards"] = describe(*settings.shards);
  if (settings.requantize) described["requantize"] = true;
  if (settings.static_activations) described["static_activations"] = true;
  if (settings.calibration) {
    described["calibration"] = {{"xxh3_128", settings.calibration->hash},
                                {"bytes", settings.calibration->bytes},
                                {"rows", settings.calibration->rows},
                                {"bias_correction", settings.bias_correction}};
    if (settings.smoothing) {
      described["smoothing"] =
          settings.smoothing->alpha ? Json{{"alpha", *settings.smoothing->alpha}} : Json{{"alpha", "search"}};
    }
  }
  for (const LoraTrace& lora : settings.loras) {
    described["loras"].push_back(
        {{"data_xxh3_128", lora.data_hash}, {"bytes", lora.bytes}, {"strength", lora.strength}});
  }
  return described;
}

// What an earlier conversion folded stays said.
void add_smoothing_record(const Plan& plan, std::map<std::string, std::string>& metadata) {
  Json record = Json::object();
  if (const auto before = metadata.find(kSmoothingRecord); before != metadata.end()) {
    std::optional<Json> said = parse_untrusted<Json>(before->second);
    if (said && said->is_object()) record = std::move(*said);
  }
  for (const auto& group : plan.smoothings) {
    if (group->stored_in) continue;
    Json& layers = record[group->target] = Json::array();
    for (const SmoothedReader& reader : group->readers) layers.push_back(reader.name);
  }
  if (!record.empty()) metadata[kSmoothingRecord] = record.dump();
}

}  // namespace

std::map<std::string, std::string> output_metadata(const Plan& plan, const checkpoint::Checkpoint& source,
                                                   const std::vector<OpenedTreatment>& treatments,
                                                   const std::vector<std::string>& model_ids) {
  std::map<std::string, std::string> metadata = source.metadata();
  metadata.erase("_quantization_metadata");  // rebuilt, never passed on stale
  const Json made = {
      {"version", OCTAVO_VERSION},
      {"settings", describe(plan, treatments, model_ids)},
      {"source", {{"header_xxh3_128", source.header_hash()}, {"bytes", source.source_bytes()}}}};
  metadata["octavo"] = made.dump();
  add_smoothing_record(plan, metadata);
  return metadata;
}

void add_quantization_metadata(Plan& plan, const checkpoint::Checkpoint& source,
                               const std::map<std::string, std::string, std::less<>>& kept_layers) {
  // Entries are JSON text and appear as they are, so that marker and metadata say the same to the byte.
  std::map<std::string, std::string> layers = stored::kept_quantization_metadata(source, kept_layers);
  if (plan.settings.save_quant_metadata) {
    for (const PlannedConstant& constant : plan.constants) {
      if (constant.role == OCTAVO_ROLE_MARKER) layers[plan.groups[constant.output]] = constant.bytes;
    }
  }
  if (layers.empty()) return;
  std::string text;
  for (const auto& [name, marker] : layers) {
    text += (text.empty() ? "" : ", ") + Json(name).dump() + ": " + marker;
  }
  plan.metadata["_quantization_metadata"] = R"({"format_version": "1.0", "layers": {)" + text + "}}";
}

}  // namespace octavo::plan
