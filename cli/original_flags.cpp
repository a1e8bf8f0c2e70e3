#include "original_flags.hpp"

#include "base/error.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <utility>

namespace octavo::cli {
namespace {

using Owners = std::vector<std::string>;

enum class Kind { toggle, integer, number, text };

struct Flag {
  std::string name;
  Kind kind = Kind::toggle;
  const char* group = kMemoryFlags;
  std::string help = {};
  std::vector<std::string> choices = {};
  bool negatable = false;
  std::vector<Spelling> also = {};
  Owners owners = {};          // optimizers that may have the parameter
  std::string parameter = {};  // that it sets; "": none
  std::string instead = {};    // what happens in place of it, or why nothing does
  double least = 0;
  double most = std::numeric_limits<double>::max();
};

constexpr std::array kFilters = {"t5xxl",
                                 "mistral",
                                 "visual",
                                 "flux2",
                                 "distillation_large",
                                 "distillation_small",
                                 "nerf_large",
                                 "nerf_small",
                                 "radiance",
                                 "wan",
                                 "hunyuan",
                                 "qwen",
                                 "zimage",
                                 "zimage_refiner",
                                 "lora",
                                 "gemma4",
                                 "qwen35",
                                 "anima",
                                 "lens",
                                 "krea2",
                                 "ideogram4",
                                 "boogu",
                                 "ltxv2"};

constexpr const char* kTransformed = "quip_transformed";

const Owners& learned() {
  static const Owners owners = {"adaptive", "adamw", "radam"};
  return owners;
}

Flag learned_flag(std::string name, Kind kind, std::string parameter, std::string help) {
  Flag flag{.name = std::move(name), .kind = kind, .group = kLearnedFlags, .help = std::move(help)};
  flag.owners = learned();
  flag.parameter = std::move(parameter);
  return flag;
}

std::vector<Flag> schedule_flags() {
  std::vector<Flag> flags = {
      learned_flag("lr", Kind::number, "lr", "learning rate at the start"),
      learned_flag("lr-schedule", Kind::text, "lr_schedule", "how the learning rate changes"),
      learned_flag("lr-gamma", Kind::number, "lr_gamma", "factor of the exponential schedule"),
      learned_flag("lr-patience", Kind::integer, "lr_patience", "plateau: iterations without improvement"),
      learned_flag("lr-factor", Kind::number, "lr_factor", "plateau: factor of a cut"),
      learned_flag("lr-min", Kind::number, "lr_min", "lower bound"),
      learned_flag("lr-cooldown", Kind::integer, "lr_cooldown", "plateau: pause after a cut"),
      learned_flag("lr-threshold", Kind::number, "lr_threshold", "smallest improvement that counts"),
      learned_flag("lr-adaptive-mode", Kind::text, "lr_adaptive_mode", "what an improvement resets"),
      learned_flag("lr-threshold-mode", Kind::text, "lr_threshold_mode", "meaning of the threshold"),
      learned_flag("lr-shape-influence", Kind::number, "lr_shape_influence", "effect of a layer's shape"),
  };
  flags[1].choices = {"adaptive", "exponential", "plateau"};
  flags[8].choices = {"simple-reset", "no-reset"};
  flags[9].choices = {"rel", "abs"};
  flags[9].group = flags[10].group = kAdvancedFlags;
  return flags;
}

std::vector<Flag> iteration_flags() {
  std::vector<Flag> flags = {
      learned_flag("num-iter", Kind::integer, "num_iter", "most iterations"),
      learned_flag("early-stop-loss", Kind::number, "early_stop_loss", "stop at this loss"),
      learned_flag("early-stop-lr", Kind::number, "early_stop_lr", "stop at this learning rate"),
      learned_flag("early-stop-stall", Kind::integer, "early_stop_stall",
                   "stop after so many iterations without improvement"),
      learned_flag("top-p", Kind::number, "top_p", "share of the singular vectors"),
      learned_flag("min-k", Kind::integer, "min_k", "fewest singular vectors"),
      learned_flag("max-k", Kind::integer, "max_k", "most singular vectors"),
      learned_flag("full-matrix", Kind::toggle, "full_matrix", "exact singular vectors"),
  };
  flags.push_back(learned_flag("objective", Kind::text, "objective",
                               "the error in the leading singular vectors, or of the output"));
  flags.back().choices = {"projected", "output"};
  flags[1].also = {{"-esloss"}};
  flags[2].also = {{"-eslr"}};
  flags[3].also = {{"-esstall"}};
  for (const int advanced : {1, 2, 3}) flags[static_cast<size_t>(advanced)].group = kAdvancedFlags;
  return flags;
}

Flag feedback_flag(std::string name, const char* owner, std::string parameter, std::string help) {
  Flag flag{.name = std::move(name), .group = kFeedbackFlags, .help = std::move(help)};
  flag.owners = {owner};
  flag.parameter = std::move(parameter);
  return flag;
}

Flag idle_feedback_flag(std::string name, Kind kind, std::string why, bool negatable = false) {
  return {.name = std::move(name),
          .kind = kind,
          .group = kFeedbackFlags,
          .negatable = negatable,
          .instead = std::move(why)};
}

std::vector<Flag> feedback_flags() {
  const std::string exact = "columns are always done in exact, lazy blocks";
  const std::string tiles = "rows are rounded in tiles that bound the memory, with exact feedback";
  std::vector<Flag> flags = {
      feedback_flag("gptq-actorder", "gptq", "actorder", "columns by descending Hessian diagonal"),
      feedback_flag("quip-actorder", "quip", "actorder", "columns by descending Hessian diagonal"),
      feedback_flag("quip-seed", kTransformed, "seed", "seed of the signs"),
      feedback_flag("scale-search", "nearest", "scale_search",
                    "scales tried for each row beside absmax / 127"),
      idle_feedback_flag("quip-hadamard", Kind::toggle,
                         "the rotation is the format's, and only Hadamard ones can be stored", true),
      idle_feedback_flag("quip-checkpointed", Kind::toggle, tiles),
      idle_feedback_flag("quip-checkpoint-threshold", Kind::integer, tiles),
      idle_feedback_flag("quip-checkpoint-segments", Kind::integer, tiles),
      idle_feedback_flag("gptq-fast", Kind::toggle, exact, true),
      idle_feedback_flag("gptq-turbo", Kind::toggle, exact + ", with a fused kernel"),
  };
  flags[1].negatable = true;
  flags[2].kind = flags[3].kind = Kind::integer;
  flags[2].instead = "signs are drawn for --format quip_transformed only";
  flags[3].owners = {"nearest", "gptq", "quip"};
  flags.push_back({.name = "damping",
                   .kind = Kind::text,
                   .group = kFeedbackFlags,
                   .help = "share of the mean diagonal that is added to the Hessian, or search",
                   .owners = {"gptq", "quip", "adaptive", "adamw", "radam"},
                   .parameter = "damping"});
  return flags;
}

std::vector<Flag> calibration_flags() {
  const std::string synthetic = "synthetic inputs carry no information, and none are made";
  return {
      {.name = "calib-samples",
       .kind = Kind::integer,
       .group = kCalibrationFlags,
       .instead = synthetic,
       .least = 1},
      {.name = "calibration-lora",
       .kind = Kind::text,
       .group = kCalibrationFlags,
       .instead = "octavo calibrate-from-lora makes a file of it, for --calibration-data"},
      {.name = "calib-cpu",
       .group = kCalibrationFlags,
       .instead = "inputs are read as they are needed, and kept in memory meanwhile"},
  };
}

std::vector<Flag> memory_flags() {
  const std::string tiles = "tiles bound the memory whatever the size of the file (--lanes, --max-ram)";
  const std::string single = "weights are computed in single precision, and tiles make that cheap";
  std::vector<Flag> flags = {
      {.name = "streaming-mode",
       .kind = Kind::text,
       .choices = {"off", "minimal", "balanced", "aggressive", "auto"},
       .instead = tiles},
      {.name = "streaming", .instead = "it is deprecated, and " + tiles},
      {.name = "streaming-aggressive", .instead = "it is deprecated, and " + tiles},
      {.name = "no-memory-limits", .instead = "without --max-ram there is no limit to turn off"},
      {.name = "no-normalize-scales",
       .instead = "scales keep the shape of their format; there is nothing to turn off"},
      {.name = "verbose-pinned", .instead = "-vv logs what the device does"},
      {.name = "bf16-compute", .kind = Kind::text, .choices = {"auto", "on", "off"}, .instead = single},
      {.name = "generic-text",
       .group = kFilterFlags,
       .instead = "it only set activation scales, which loaders compute themselves"},
  };
  for (const char* operation : {"hadamard", "hessian", "ldlq", "ortho"}) {
    flags.push_back(
        {.name = fmt::format("stream-{}-threshold", operation), .kind = Kind::integer, .instead = tiles});
  }
  for (const char* name : {"bf16-threshold", "bf16-hadamard-threshold", "bf16-hessian-threshold"})
    flags.push_back({.name = name, .kind = Kind::integer, .instead = single});
  return flags;
}

const std::vector<Flag>& flags() {
  static const std::vector<Flag> all = [] {
    std::vector<Flag> made = schedule_flags();
    for (auto part : {iteration_flags(), feedback_flags(), calibration_flags(), memory_flags()})
      made.insert(made.end(), part.begin(), part.end());
    return made;
  }();
  return all;
}

std::string help_of(const Flag& flag) {
  if (flag.parameter.empty()) return "no effect: " + flag.instead;
  return fmt::format("{} ({})", flag.help, fmt::join(flag.owners, ", "));
}

Option option_of(const Flag& flag) {
  const char* value = flag.kind == Kind::toggle ? "" : flag.kind == Kind::text ? "VALUE" : "N";
  return {.name = flag.name,
          .value = value,
          .help = help_of(flag),
          .choices = flag.choices,
          .group = flag.group,
          .negatable = flag.negatable,
          .tail = true,
          .also = flag.also};
}

std::vector<Option> storage_options() {
  return {
      {.name = "quip-store-transformed",
       .help = "the same as --format quip_transformed",
       .group = kFeedbackFlags,
       .tail = true},
      {.name = "quip-requant-scheme",
       .value = "SCHEME",
       .help = "quip in the plain basis: tensor is int8_tensorwise, block is int8_blockwise",
       .choices = {"tensor", "block"},
       .group = kFeedbackFlags,
       .tail = true},
      {.name = "quip-requant-tensor-per-row",
       .help = "with scheme tensor: one scale for each row (default), or one for the layer",
       .group = kFeedbackFlags,
       .negatable = true,
       .tail = true},
  };
}

std::string hyphens(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

// The flag's value as a parameter takes it, once it is known to be one of its kind.
std::string value_of(const Flag& flag, const Arguments& arguments) {
  if (flag.kind == Kind::toggle) return arguments.flag(flag.name) ? "true" : "false";
  if (flag.kind == Kind::integer) {
    const int64_t least = flag.least > 0 ? static_cast<int64_t>(flag.least) : 0;
    return std::to_string(*arguments.integer(flag.name, least, INT64_MAX));
  }
  if (flag.kind == Kind::number) arguments.number(flag.name, flag.least, flag.most);
  return *arguments.text(flag.name);
}

bool declares(const plugin::Catalog& catalog, const std::string& id, const std::string& parameter) {
  for (const plugin::Record& record : catalog.records()) {
    if (record.kind != OCTAVO_KIND_OPTIMIZER || record.id != id || !plugin::is_usable(record)) continue;
    const std::vector<plugin::Parameter>& params = record.descriptor.params;
    return std::any_of(params.begin(), params.end(),
                       [&](const plugin::Parameter& declared) { return declared.name == parameter; });
  }
  return false;  // one that is not there is reported when it is opened
}

// Of all optimizers that the run may use.
std::vector<plugin::Selection*> optimizers_of(plan::Settings& settings) {
  std::vector<plugin::Selection*> all = {&settings.optimizer};
  if (settings.rules.custom) all.push_back(&settings.rules.custom->treatment.optimizer);
  if (settings.rules.fallback) all.push_back(&settings.rules.fallback->optimizer);
  for (plan::ConfiguredLayers& entry : settings.rules.config) {
    if (entry.treatment) all.push_back(&entry.treatment->optimizer);
  }
  return all;
}

// True if an optimizer in use has the parameter. What was written after --optimizer ID: stays.
bool set_parameter(const Flag& flag, const std::string& value, plan::Settings& settings,
                   const plugin::Catalog& catalog) {
  bool used = false;
  for (plugin::Selection* optimizer : optimizers_of(settings)) {
    const bool owns = std::find(flag.owners.begin(), flag.owners.end(), optimizer->id) != flag.owners.end();
    if (!owns || !declares(catalog, optimizer->id, flag.parameter)) continue;
    optimizer->assignments.insert(optimizer->assignments.begin(), {flag.parameter, value});
    used = true;
  }
  return used;
}

// The format that draws signs has their seed; what was written after --format ID: stays.
bool set_format_parameter(const Flag& flag, const std::string& value, plan::Settings& settings) {
  if (flag.owners != Owners{kTransformed} || settings.format.id != kTransformed) return false;
  settings.format.assignments.insert(settings.format.assignments.begin(), {flag.parameter, value});
  return true;
}

std::string without_effect(const Flag& flag, const plan::Settings& settings) {
  std::string why = flag.instead;
  if (why.empty()) {
    const bool owns =
        std::find(flag.owners.begin(), flag.owners.end(), settings.optimizer.id) != flag.owners.end();
    why = owns ? fmt::format("optimizer {} has no such parameter", settings.optimizer.id)
               : fmt::format("it is for {}, and the optimizer is {}", fmt::join(flag.owners, ", "),
                             settings.optimizer.id);
  }
  return fmt::format("--{} has no effect: {}", flag.name, why);
}

}  // namespace

std::vector<Option> original_options() {
  std::vector<Option> all;
  all.reserve(std::size(kFilters));
  for (const char* filter : kFilters) {
    all.push_back({.name = hyphens(filter),
                   .help = fmt::format("the same as --model {}", filter),
                   .group = kFilterFlags,
                   .tail = true});
  }
  for (const Flag& flag : flags()) all.push_back(option_of(flag));
  const std::vector<Option> storage = storage_options();
  all.insert(all.end(), storage.begin(), storage.end());
  return all;
}

std::vector<HelpSection> flag_sections() {
  return {
      {"help-filters", {"-hf"}, {kFilterFlags}},
      {"help-advanced", {"-ha"}, {kAdvancedFlags}},
      {"help-experimental",
       {"-he"},
       {"Plugins", "Layers", "Report", kFeedbackFlags, kCalibrationFlags, kMemoryFlags}},
      {"help-layers", {"-hl"}, {"Layers", kFilterFlags}},
      {"help-learning-rate", {"-hlr"}, {kLearnedFlags, kAdvancedFlags}},
      {"help-memory", {"-hm"}, {"Where work runs", kMemoryFlags}},
  };
}

std::vector<std::string> models_by_flag(const Arguments& arguments) {
  std::vector<std::string> models;
  for (const char* filter : kFilters) {
    if (arguments.flag(hyphens(filter))) models.emplace_back(filter);
  }
  return models;
}

std::string optimizer_by_flags(const Arguments& arguments) {
  if (const auto given = arguments.text("optimizer")) {
    constexpr std::string_view kOriginal = "original";
    if (!given->starts_with(kOriginal)) return *given;
    const std::string rest = given->substr(kOriginal.size());
    return rest.empty() || rest.front() == ':' ? "adaptive" + rest : *given;
  }
  const std::vector<Flag> schedule = schedule_flags();
  const bool asked = std::any_of(schedule.begin(), schedule.end(),
                                 [&](const Flag& flag) { return arguments.has(flag.name); });
  return asked ? "adaptive" : "nearest";
}

std::string format_by_flags(const Arguments& arguments, const std::string& optimizer) {
  if (arguments.flag("quip-store-transformed")) {
    if (!arguments.flag("quip-hadamard", true)) {
      throw Error(
          ErrorCode::usage,
          "[options] --quip-store-transformed needs the Hadamard rotation: a dense one is not stored, and "
          "nobody could undo it",
          "leave out --no-quip-hadamard");
    }
    return kTransformed;
  }
  if (optimizer != "quip") return {};
  if (arguments.text("quip-requant-scheme").value_or("") == "block") return "int8_blockwise";
  const bool per_row = arguments.flag("quip-requant-tensor-per-row", true);
  if (!per_row) return "int8_tensorwise:scale=tensor";
  return arguments.has("quip-requant-scheme") ? "int8_tensorwise:scale=row" : "";
}

std::vector<std::string> apply_original_flags(const Arguments& arguments, plan::Settings& settings,
                                              const plugin::Catalog& catalog) {
  std::vector<std::string> lines;
  for (const Flag& flag : flags()) {
    if (!arguments.has(flag.name)) continue;
    const std::string value = value_of(flag, arguments);
    const bool used = set_format_parameter(flag, value, settings) ||
                      (!flag.parameter.empty() && set_parameter(flag, value, settings, catalog));
    if (!used) lines.push_back(without_effect(flag, settings));
  }
  for (const char* name : {"quip-requant-scheme", "quip-requant-tensor-per-row"}) {
    if (arguments.has(name) && settings.optimizer.id != "quip")
      lines.push_back(fmt::format("--{} has no effect: it is for quip, and the optimizer is {}", name,
                                  settings.optimizer.id));
  }
  return lines;
}

}  // namespace octavo::cli
