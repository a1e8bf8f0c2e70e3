#include "plan/provenance.hpp"

#include <nlohmann/json.hpp>

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

Json describe(const plugin::Selection& selection) {
  std::string params;
  for (const plugin::Assignment& assignment : selection.assignments)
    params += (params.empty() ? "" : ",") + assignment.name + "=" + assignment.value;
  return describe(PlannedPlugin{selection.id, params});
}

Json describe(const Treatment& treatment) {
  Json described = {{"optimizer", describe(treatment.optimizer)},
                    {"full_precision_matrix_mult", treatment.full_precision_matmul}};
  if (!treatment.format.id.empty()) described["format"] = describe(treatment.format);
  if (treatment.block_size != 0) described["block_size"] = treatment.block_size;
  if (treatment.heuristic) described["heuristic"] = true;
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

// An empty object where there are none. A config's file is not named, only its content.
Json describe(const LayerRules& rules) {
  Json described = Json::object();
  if (!rules.config_hash.empty()) {
    described["layer_config_xxh3_128"] = rules.config_hash;
    described["full_match"] = rules.full_match;
  }
  if (rules.custom) {
    described["custom"] = describe(rules.custom->treatment);
    described["custom"]["pattern"] = rules.custom->pattern.text();
  }
  if (rules.exclude) described["exclude"] = rules.exclude->text();
  if (rules.fallback) described["fallback"] = describe(*rules.fallback);
  return described;
}

Json describe(const Plan& plan, const std::vector<std::string>& model_ids) {
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
  if (const Json rules = describe(settings.rules); !rules.empty()) described["rules"] = rules;
  if (!settings.fragile.empty()) described["fragile"] = describe(settings.fragile);
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
    record = Json::parse(before->second, nullptr, false);
    if (!record.is_object()) record = Json::object();
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
                                                   const std::vector<std::string>& model_ids) {
  std::map<std::string, std::string> metadata = source.metadata();
  metadata.erase("_quantization_metadata");  // rebuilt, never passed on stale
  const Json made = {
      {"version", OCTAVO_VERSION},
      {"settings", describe(plan, model_ids)},
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
