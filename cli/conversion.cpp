#include "conversion.hpp"

#include "base/error.hpp"
#include "layer_options.hpp"
#include "lora_options.hpp"
#include "original_flags.hpp"
#include "plan/open_plugin.hpp"
#include "plan/opened_treatments.hpp"
#include "plan/output_names.hpp"
#include "plugin_settings.hpp"
#include "session.hpp"

#include <fmt/format.h>

#include <random>

namespace octavo::cli {
namespace {

constexpr uint64_t kSmallestTile = 4096;  // every piece of a file is an item of work
constexpr const char* kDefaultFormat = "int8_convrot";

// --int8 and --fp16 name a format as --format does, so that two of them have to agree.
[[noreturn]] void refuse_both(std::string_view one, std::string_view other) {
  throw Error(ErrorCode::usage, fmt::format("[options] {} and {} contradict each other", one, other),
              "leave one of them out");
}

void refuse_contradicting_formats(const Arguments& arguments, const std::string& format) {
  const bool fp16 = arguments.flag("fp16");
  if (arguments.flag("int8") && fp16) refuse_both("--int8", "--fp16");
  if (fp16 && !format.empty() && format != "fp16") refuse_both("--fp16", "--format " + printable(format));
}

bool is_int8(const octavo_grid& grid) {
  return grid.stored_dtype == OCTAVO_I8 &&
         (grid.code == OCTAVO_CODE_INTEGER || grid.code == OCTAVO_CODE_INTEGER_ZERO);
}

// What a format is, its grid says and not its name.
void refuse_int8_with_another_format(const Arguments& arguments, const plan::Settings& settings,
                                     Session& session) {
  if (!arguments.flag("int8") || !arguments.has("format")) return;
  const auto format = plan::open_plugin<plugin::Format>(
      session.catalog(), OCTAVO_KIND_FORMAT, settings.format, settings.set, session.services().host());
  const std::optional<octavo_grid> grid = plan::usual_grid(format.handle);
  if (grid && !is_int8(*grid)) refuse_both("--int8", "--format " + printable(settings.format.id));
}

plugin::Selection asked_format(const Arguments& arguments, const std::string& optimizer) {
  const auto format = arguments.text("format");
  plugin::Selection asked = format ? plugin::parse_selection(*format, "--format") : plugin::Selection{};
  refuse_contradicting_formats(arguments, asked.id);
  if (format) return asked;
  if (arguments.flag("fp16")) return {"fp16", {}};
  if (const auto mode = arguments.text("scaling-mode")) return format_of_scaling_mode(*mode);
  const std::string by_flags = format_by_flags(arguments, optimizer);
  return by_flags.empty() ? plugin::Selection{} : plugin::parse_selection(by_flags, "--quip-*");
}

std::vector<std::string> asked_models(const Arguments& arguments) {
  std::vector<std::string> models = arguments.texts("model");
  const std::vector<std::string> flags = models_by_flag(arguments);
  models.insert(models.end(), flags.begin(), flags.end());
  return models.empty() ? std::vector<std::string>{"auto"} : models;
}

void read_plugins(const Arguments& arguments, Conversion& conversion) {
  for (const std::string& text : arguments.texts("set"))
    conversion.set.push_back(plugin::parse_setting(text));
  plan::Settings& settings = conversion.settings;
  settings.optimizer = plugin::parse_selection(optimizer_by_flags(arguments), "--optimizer");
  settings.default_format = kDefaultFormat;
  settings.format = asked_format(arguments, settings.optimizer.id);
  settings.set = conversion.set;
  settings.models = asked_models(arguments);
  // Classes of layers inherit it; that of a format that only casts is nearest, whatever its name.
  if (settings.format.id == "fp16") settings.optimizer = {plan::kNearest, {}};
}

// -1 draws a seed.
uint64_t read_seed(const Arguments& arguments, std::vector<std::string>& notes) {
  const int64_t seed = arguments.integer("manual-seed", -1, INT64_MAX).value_or(0);
  if (seed >= 0) return static_cast<uint64_t>(seed);
  const uint64_t drawn = std::random_device{}();
  notes.push_back(fmt::format("the seed of this run is {}", drawn));
  return drawn;
}

void read_policies(const Arguments& arguments, Conversion& conversion) {
  plan::Settings& settings = conversion.settings;
  const std::string nonfinite = arguments.text("nonfinite").value_or("error");
  settings.nonfinite = nonfinite == "keep"   ? plan::Nonfinite::keep
                       : nonfinite == "zero" ? plan::Nonfinite::zero
                                             : plan::Nonfinite::error;
  const std::string overflow = arguments.text("fp16-overflow").value_or("keep");
  settings.cast_overflow = overflow == "clamp"   ? plan::CastOverflow::clamp
                           : overflow == "error" ? plan::CastOverflow::error
                                                 : plan::CastOverflow::keep;
  if (const auto share = arguments.text("keep-worst"))
    settings.fragile.keep_worst = plan::parse_worst_share(*share);
  settings.fragile.min_sqnr_db = arguments.number("min-sqnr", -400, 400);
  settings.fragile.target_bytes = arguments.size("target-size");
  settings.seed = read_seed(arguments, conversion.notes);
  settings.legacy_keys = !arguments.flag("comfy-quant", true);
  settings.full_precision_matmul = arguments.flag("full-precision-matrix-mult");
  settings.input_scale = arguments.flag("input-scale");
  settings.save_quant_metadata = arguments.flag("save-quant-metadata");
}

// Both are read and written at offsets, which a stream does not have.
void refuse_stream(const std::string& path, std::string_view what) {
  if (path != "-") return;
  throw Error(ErrorCode::usage, fmt::format("[options] the {} is '-', a file was expected", what),
              "octavo reads and writes no streams; a file of that name is ./-");
}

void read_output(const Arguments& arguments, Conversion& conversion) {
  const auto input = arguments.text("input");
  if (!input) {
    throw Error(ErrorCode::usage, "[options] no input is given", "octavo convert model.safetensors");
  }
  if (arguments.texts("input").size() > 1) {
    throw Error(ErrorCode::usage, "[options] several inputs are given; convert takes one");
  }
  refuse_stream(*input, "input");
  conversion.input = *input;
  if (const auto output = arguments.text("output")) {
    refuse_stream(*output, "output");
    conversion.output = *output;
  }
  conversion.force = arguments.flag("force");
  const auto shards = arguments.integer("shards", 1, 99999);
  const auto shard_size = arguments.size("shard-size");
  if (shards && shard_size)
    throw Error(ErrorCode::usage, "[options] --shards and --shard-size exclude each other");
  if (shards || shard_size) {
    conversion.settings.shards =
        checkpoint::ShardRule{static_cast<uint64_t>(shards.value_or(0)), shard_size.value_or(0)};
  }
  const std::string verify = arguments.text("verify").value_or("sampled");
  conversion.verify = verify == "header" ? checkpoint::VerifyLevel::header
                      : verify == "full" ? checkpoint::VerifyLevel::full
                                         : checkpoint::VerifyLevel::sampled;
  conversion.discard = arguments.flag("discard");
  conversion.durable = !arguments.flag("no-fsync");
  const std::string sink = arguments.text("sink").value_or("automatic");
  conversion.sink = sink == "mapping"      ? checkpoint::SinkKind::mapping
                    : sink == "positioned" ? checkpoint::SinkKind::positioned
                                           : checkpoint::SinkKind::automatic;
}

}  // namespace

Conversion read_conversion(const Arguments& arguments) {
  Conversion conversion;
  read_output(arguments, conversion);
  read_plugins(arguments, conversion);
  read_policies(arguments, conversion);
  conversion.loras = read_loras(arguments);
  conversion.settings.requantize = arguments.flag("requantize");
  for (const auto& lines : {read_calibration(arguments, conversion.calibration, conversion.settings),
                            read_layer_options(arguments, conversion.settings)}) {
    conversion.notes.insert(conversion.notes.end(), lines.begin(), lines.end());
  }
  if (const auto config = arguments.text("layer-config")) {
    if (const auto file = snapshot_of(*config)) conversion.option_files.push_back(file->identity);
  }
  const bool low_memory = arguments.flag("low-memory");
  conversion.device = run::parse_device(arguments.text("device").value_or(low_memory ? "cpu" : "auto"));
  conversion.run.lanes =
      static_cast<uint32_t>(arguments.integer("lanes", 1, 1024).value_or(low_memory ? 1 : 0));
  conversion.run.tile_bytes = arguments.size("tile-size", kSmallestTile);
  const double threshold = arguments.number("quality-threshold", -400, 400).value_or(30);
  if (arguments.flag("report-quality")) conversion.quality_threshold = threshold;
  conversion.max_ram = arguments.size("max-ram").value_or(0);
  return conversion;
}

void complete_conversion(Conversion& conversion, const Arguments& arguments, Session& session) {
  refuse_int8_with_another_format(arguments, conversion.settings, session);
  for (const auto& lines : {check_settings(conversion, session),
                            apply_original_flags(arguments, conversion.settings, session.catalog())}) {
    conversion.notes.insert(conversion.notes.end(), lines.begin(), lines.end());
  }
  for (const std::string& note : conversion.notes) Session::note(note);
}

std::filesystem::path output_path(const Conversion& conversion, const plan::Plan& plan) {
  if (conversion.output) return *conversion.output;
  return plan::default_output(conversion.input, plan, plan.settings.shards.has_value());
}

}  // namespace octavo::cli
