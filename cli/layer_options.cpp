#include "layer_options.hpp"

#include "base/error.hpp"
#include "plan/layer_config.hpp"
#include "plan/opened_treatments.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

namespace octavo::cli {
namespace {

constexpr const char* kLayers = "Layers";
constexpr const char* kFp16 = "fp16";
constexpr std::array<std::string_view, 3> kLearned = {"adaptive", "adamw", "radam"};

std::vector<Option> config_options() {
  return {
      {.name = "layer-config",
       .value = "FILE",
       .help = "JSON: patterns, and what becomes of the layers that they match; wins over all other rules",
       .group = kLayers},
      {.name = "fullmatch",
       .help = "patterns of the layer config match the whole name",
       .group = kLayers,
       .tail = true},
      {.name = "exclude-layers",
       .value = "REGEX",
       .help = "layers whose key holds a match stay as they are",
       .group = kLayers},
      {.name = "heur",
       .help = "layers that blocks do not fit stay as they are",
       .group = kLayers,
       .tail = true},
      {.name = "block-size",
       .value = "N",
       .help = "edge of a block, for formats and optimizers that have blocks",
       .group = kLayers,
       .tail = true,
       .also = {{"--group-size"}}},
      {.name = "simple",
       .help = "nearest in place of learned rounding, and no bias is corrected",
       .group = kLayers,
       .tail = true},
  };
}

std::vector<Option> class_options() {
  const std::string type = "int8, fp16, or a format as --format takes it";
  return {
      {.name = "custom-layers",
       .value = "REGEX",
       .help = "layers whose key holds a match are of --custom-type",
       .group = kLayers},
      {.name = "custom-type", .value = "TYPE", .help = "of custom layers: " + type, .group = kLayers},
      {.name = "custom-block-size",
       .value = "N",
       .help = "edge of a block in custom layers",
       .group = kLayers,
       .tail = true},
      {.name = "custom-scaling-mode",
       .value = "MODE",
       .help = "scales of custom layers",
       .choices = {"tensor", "row", "block", "axis"},
       .group = kLayers,
       .tail = true},
      {.name = "custom-simple", .help = "nearest for custom layers", .group = kLayers, .tail = true},
      {.name = "custom-heur",
       .help = "custom layers that blocks do not fit stay as they are",
       .group = kLayers,
       .tail = true},
      {.name = "fallback",
       .value = "TYPE",
       .help = "excluded layers are stored so in place of copied: " + type,
       .group = kLayers},
      {.name = "fallback-block-size",
       .value = "N",
       .help = "edge of a block in fallback layers",
       .group = kLayers,
       .tail = true},
      {.name = "fallback-simple", .help = "nearest for fallback layers", .group = kLayers, .tail = true},
  };
}

uint32_t block_size(const Arguments& arguments, const std::string& option, uint32_t inherited) {
  return static_cast<uint32_t>(arguments.integer(option, 1, 65536).value_or(inherited));
}

// What a class begins with: everything that the run does.
plan::Treatment inherited(const plan::Settings& settings) {
  return {.format = settings.format,
          .optimizer = settings.optimizer,
          .block_size = settings.block_size,
          .heuristic = settings.heuristic,
          .bias_correction = settings.bias_correction,
          .full_precision_matmul = settings.full_precision_matmul};
}

void make_simple(plan::Treatment& treatment) {
  treatment.optimizer = {plan::kNearest, {}};
  treatment.bias_correction = false;
}

// "int8" is the run's own format, or, where that is FP16, the optimizer's default one.
plugin::Selection format_of_type(const std::string& type, const std::string& option,
                                 const plan::Settings& settings) {
  if (type != "int8") return plugin::parse_selection(type, option);
  return settings.format.id == kFp16 ? plugin::Selection{} : settings.format;
}

std::optional<plan::CustomLayers> read_custom(const Arguments& arguments, const plan::Settings& settings) {
  const auto pattern = arguments.text("custom-layers");
  const auto type = arguments.text("custom-type");
  if (!pattern) {
    if (type) throw Error(ErrorCode::usage, "[options] --custom-type needs --custom-layers");
    return std::nullopt;
  }
  if (!type) {
    throw Error(ErrorCode::usage, "[options] --custom-layers needs --custom-type",
                "--custom-type int8 or fp16 says what becomes of these layers");
  }
  plan::CustomLayers custom{plan::Pattern(*pattern, "--custom-layers"), inherited(settings)};
  plan::Treatment& treatment = custom.treatment;
  treatment.origin = "--custom-type";
  treatment.format = format_of_type(*type, "--custom-type", settings);
  if (const auto mode = arguments.text("custom-scaling-mode"); mode && treatment.format.id != kFp16)
    treatment.format = format_of_scaling_mode(*mode);
  treatment.block_size = block_size(arguments, "custom-block-size", treatment.block_size);
  if (arguments.flag("custom-simple")) make_simple(treatment);
  treatment.heuristic = treatment.heuristic || arguments.flag("custom-heur");
  return custom;
}

std::optional<plan::Treatment> read_fallback(const Arguments& arguments, const plan::Settings& settings) {
  const auto type = arguments.text("fallback");
  if (!type) return std::nullopt;
  plan::Treatment treatment = inherited(settings);
  treatment.origin = "--fallback";
  treatment.format = format_of_type(*type, "--fallback", settings);
  treatment.block_size = block_size(arguments, "fallback-block-size", treatment.block_size);
  if (arguments.flag("fallback-simple")) make_simple(treatment);
  return treatment;
}

// The mode's format; the entry's own parameters stay where it is the same one.
plugin::Selection selected_format(const plan::LayerConfigEntry& entry) {
  if (entry.format.empty()) return format_of_scaling_mode(entry.scaling_mode);
  plugin::Selection format = plugin::parse_selection(entry.format, "\"format\"");
  if (entry.scaling_mode.empty()) return format;
  if (format.id == kFp16) {
    throw Error(ErrorCode::usage, fmt::format("'{}': fp16 has no scales, so scaling_mode '{}' means nothing",
                                              printable(entry.name), entry.scaling_mode));
  }
  plugin::Selection by_mode = format_of_scaling_mode(entry.scaling_mode);
  if (by_mode.id != format.id) return by_mode;
  format.assignments.insert(format.assignments.end(), by_mode.assignments.begin(), by_mode.assignments.end());
  return format;
}

plan::ConfiguredLayers configured(const plan::LayerConfigEntry& entry, const std::string& origin,
                                  const plan::Settings& settings) {
  plan::ConfiguredLayers made;
  made.name = entry.name;
  if (entry.skip) return made;
  plan::Treatment treatment = inherited(settings);
  treatment.origin = origin;
  treatment.from_file = true;
  treatment.format = selected_format(entry);
  if (!entry.optimizer.empty())
    treatment.optimizer = plugin::parse_selection(entry.optimizer, "\"optimizer\"");
  if (entry.simple) make_simple(treatment);
  if (entry.block_size != 0) treatment.block_size = entry.block_size;
  treatment.full_precision_matmul = entry.full_precision_matmul.value_or(treatment.full_precision_matmul);
  made.treatment = std::move(treatment);
  return made;
}

// A wrong value in a file is bad input, wherever it is noticed.
plan::ConfiguredLayers read_entry(const plan::LayerConfig& config, const plan::LayerConfigEntry& entry,
                                  bool has_pattern, const plan::Settings& settings) {
  const std::string origin = fmt::format("{}, line {}", printable(config.file), entry.line);
  try {
    plan::ConfiguredLayers made = configured(entry, origin, settings);
    if (has_pattern) made.pattern = plan::Pattern(entry.name, origin);
    return made;
  } catch (const Error& error) {
    throw Error(ErrorCode::bad_input,
                fmt::format("[layer config] {}: {}", origin, without_operation(error.what())), error.hint());
  }
}

std::vector<std::string> read_config(const Arguments& arguments, plan::Settings& settings) {
  settings.rules.full_match = arguments.flag("fullmatch");
  const auto path = arguments.text("layer-config");
  if (!path) {
    if (!settings.rules.full_match) return {};
    return {"--fullmatch has no effect: there is no --layer-config"};
  }
  const plan::LayerConfig config = plan::read_layer_config(*path);
  settings.rules.config_hash = config.hash;
  for (const plan::LayerConfigEntry& entry : config.entries)
    settings.rules.config.push_back(read_entry(config, entry, true, settings));
  if (config.otherwise)
    settings.rules.config.push_back(read_entry(config, *config.otherwise, false, settings));
  return config.notes;
}

}  // namespace

std::vector<Option> layer_options() {
  std::vector<Option> all = config_options();
  const std::vector<Option> classes = class_options();
  all.insert(all.end(), classes.begin(), classes.end());
  return all;
}

plugin::Selection format_of_scaling_mode(const std::string& mode) {
  static const std::map<std::string, const char*> formats = {{"tensor", "int8_tensorwise:scale=tensor"},
                                                             {"row", "int8_tensorwise:scale=row"},
                                                             {"block", "int8_blockwise"},
                                                             {"axis", "int8_axiswise"}};
  return plugin::parse_selection(formats.at(mode), "--scaling-mode");
}

std::vector<std::string> read_layer_options(const Arguments& arguments, plan::Settings& settings) {
  settings.block_size = block_size(arguments, "block-size", 0);
  settings.heuristic = arguments.flag("heur");
  // Methods that compensate errors still run: for them it only turns the correction of biases off.
  const bool learned = std::find(kLearned.begin(), kLearned.end(), settings.optimizer.id) != kLearned.end();
  if (arguments.flag("simple") && learned) settings.optimizer = {plan::kNearest, {}};
  settings.rules.custom = read_custom(arguments, settings);
  if (const auto pattern = arguments.text("exclude-layers"))
    settings.rules.exclude = plan::Pattern(*pattern, "--exclude-layers");
  settings.rules.fallback = read_fallback(arguments, settings);
  return read_config(arguments, settings);
}

}  // namespace octavo::cli
