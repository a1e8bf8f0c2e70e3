#include "conversion.hpp"

#include "base/bytes.hpp"
#include "base/cpus.hpp"
#include "base/error.hpp"
#include "checkpoint/dtypes.hpp"
#include "layer_options.hpp"
#include "lora_options.hpp"
#include "original_flags.hpp"
#include "plan/output_names.hpp"
#include "session.hpp"
#include "smoothing_report.hpp"
#include "table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <random>

namespace octavo::cli {
namespace {

constexpr uint64_t kSmallestTile = 4096;  // every piece of a file is an item of work
constexpr const char* kDefaultFormat = "int8_convrot";
constexpr const char* kPlugins = "Plugins";
constexpr const char* kWhere = "Where work runs";
constexpr const char* kPolicies = "Policies";
constexpr const char* kKeys = "Keys and markers";
constexpr const char* kReport = "Report";
constexpr const char* kMeasuring = "Measuring";

std::vector<Option> plugin_options() {
  return {
      {.name = "format",
       .value = "ID[:NAME=VALUE,...]",
       .help = "how layers are stored (default: the optimizer's, else int8_convrot)",
       .group = kPlugins},
      {.name = "optimizer",
       .value = "ID[:NAME=VALUE,...]",
       .help = "what chooses the integers (default: nearest)",
       .group = kPlugins},
      {.name = "model",
       .value = "ID",
       .help = "filter that chooses the layers; auto detects, none takes every 2-D weight",
       .group = kPlugins,
       .repeats = true},
      {.name = "set",
       .value = "ID.NAME=VALUE",
       .help = "a plugin's parameter; octavo plugins lists them",
       .group = kPlugins,
       .repeats = true},
      {.name = "scaling-mode",
       .value = "MODE",
       .help = "tensor, row, block or axis scales of plain INT8; --format wins",
       .choices = {"tensor", "row", "block", "axis"},
       .group = kPlugins},
      {.name = "int8", .help = "INT8, which is the default", .group = kPlugins, .tail = true},
      {.name = "fp16", .help = "the same as --format fp16", .group = kPlugins},
  };
}

std::vector<Option> output_options() {
  return {
      {.name = "input",
       .letter = 'i',
       .value = "FILE",
       .help = "checkpoint: a file, an index.json, a folder"},
      {.name = "output",
       .letter = 'o',
       .value = "PATH",
       .help = "where to write (default: <stem>_<format>.safetensors beside the input)"},
      {.name = "force", .letter = 'f', .help = "replace an existing output"},
      {.name = "shards", .value = "N", .help = "write N files and an index into a folder"},
      {.name = "shard-size",
       .value = "SIZE",
       .help = "write files of at most this size and an index into a folder"},
      {.name = "verify",
       .value = "LEVEL",
       .help = "what is read again before the output gets its name",
       .choices = {"header", "sampled", "full"}},
  };
}

std::vector<Option> policy_options() {
  return {
      {.name = "nonfinite",
       .value = "POLICY",
       .help = "a layer with NaN or infinity: error, keep it as it is, or make such values zero",
       .choices = {"error", "keep", "zero"},
       .group = kPolicies},
      {.name = "fp16-overflow",
       .value = "POLICY",
       .help = "a tensor beyond 65504: keep it as it is, clamp, or error",
       .choices = {"keep", "clamp", "error"},
       .group = kPolicies},
      {.name = "keep-worst",
       .value = "P%|N",
       .help = "the worst share, or number, of the layers stays in high precision, by measuring all of them",
       .group = kPolicies},
      {.name = "min-sqnr",
       .value = "DB",
       .help = "layers that would be stored with a lower SQNR stay in high precision",
       .group = kPolicies},
      {.name = "target-size",
       .value = "SIZE",
       .help = "as many of the worst layers stay in high precision as the output has room for",
       .group = kPolicies},
      {.name = "manual-seed",
       .value = "N",
       .help = "seed of everything random (default: 0)",
       .group = kPolicies,
       .tail = true,
       .also = {{"--seed"}}},
      {.name = "comfy-quant",
       .help = "ComfyUI's keys and markers, which is the default; --no-comfy-quant: the legacy keys",
       .group = kKeys,
       .negatable = true},
      {.name = "full-precision-matrix-mult",
       .help = "markers ask the loader to multiply in full precision",
       .group = kKeys,
       .tail = true,
       .also = {{"-fpmm"}}},
      {.name = "input-scale", .help = "a unit activation scale for each layer", .group = kKeys, .tail = true},
      {.name = "save-quant-metadata",
       .help = "markers also in the file's metadata",
       .group = kKeys,
       .tail = true},
  };
}

std::vector<Option> run_options() {
  return {
      {.name = "device",
       .value = "DEVICE",
       .help = "auto, or a backend's id, or id:0 or id:0,2",
       .environment = "OCTAVO_DEVICE",
       .group = kWhere},
      {.name = "lanes",
       .value = "N",
       .help = "workers (default: what suits the device); never changes the bytes",
       .environment = "OCTAVO_LANES",
       .group = kWhere,
       .also = {{"--threads"}}},
      {.name = "max-ram",
       .value = "SIZE",
       .help = "memory for whole layers and factors; delays work, never changes it",
       .group = kWhere},
      {.name = "low-memory",
       .help = "the least memory: one lane on the CPU",
       .group = kWhere,
       .tail = true,
       .also = {{"-lm"}}},
      {.name = "tile-size",
       .value = "SIZE",
       .help = "bytes of source in a tile",
       .group = kMeasuring,
       .tail = true},
      {.name = "discard", .help = "compute everything and write nothing", .group = kMeasuring, .tail = true},
      {.name = "sink",
       .value = "KIND",
       .help = "how bytes reach the file",
       .choices = {"automatic", "mapping", "positioned"},
       .group = kMeasuring,
       .tail = true},
      {.name = "no-fsync",
       .help = "do not wait for the disk: the output may be lost or torn if the machine stops",
       .group = kMeasuring,
       .tail = true},
  };
}

std::vector<Option> report_options() {
  return {
      {.name = "report-quality", .help = "a table of all layers with their errors", .group = kReport},
      {.name = "quality-threshold",
       .value = "DB",
       .help = "layers below are flagged and counted in that table (default: 30)",
       .group = kReport,
       .tail = true},
  };
}

plugin::Selection with_settings(plugin::Selection selection, const std::vector<plugin::Setting>& set) {
  const auto more = settings_of(set, selection.id);
  selection.assignments.insert(selection.assignments.end(), more.begin(), more.end());
  return selection;
}

// --int8 and --fp16 name a format as --format does, so that two of them have to agree.
void refuse_contradicting_formats(const Arguments& arguments, const std::string& format) {
  const auto refuse = [](std::string_view one, std::string_view other) {
    throw Error(ErrorCode::usage, fmt::format("[options] {} and {} contradict each other", one, other),
                "leave one of them out");
  };
  const bool int8 = arguments.flag("int8"), fp16 = arguments.flag("fp16");
  if (int8 && fp16) refuse("--int8", "--fp16");
  if (format.empty()) return;
  if (fp16 && format != "fp16") refuse("--fp16", "--format " + printable(format));
  if (int8 && (format.starts_with("fp") || format.starts_with("float")))
    refuse("--int8", "--format " + printable(format));
}

plugin::Selection asked_format(const Arguments& arguments, const std::string& optimizer) {
  const auto format = arguments.text("format");
  const plugin::Selection asked = format ? plugin::parse_selection(*format, "--format") : plugin::Selection{};
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
  settings.optimizer =
      with_settings(plugin::parse_selection(optimizer_by_flags(arguments), "--optimizer"), conversion.set);
  settings.default_format = kDefaultFormat;
  settings.format = asked_format(arguments, settings.optimizer.id);
  settings.set = conversion.set;
  settings.models = asked_models(arguments);
  // Casting leaves nothing to choose, and the name of the output does not promise what did not happen.
  if (settings.format.id == "fp16") settings.optimizer = {"nearest", {}};
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

void read_output(const Arguments& arguments, Conversion& conversion) {
  const auto input = arguments.text("input");
  if (!input) {
    throw Error(ErrorCode::usage, "[options] no input is given", "octavo convert model.safetensors");
  }
  if (arguments.texts("input").size() > 1) {
    throw Error(ErrorCode::usage, "[options] several inputs are given; convert takes one");
  }
  conversion.input = *input;
  if (const auto output = arguments.text("output")) conversion.output = *output;
  conversion.force = arguments.flag("force");
  const auto shards = arguments.integer("shards", 1, 99999);
  const auto shard_size = arguments.size("shard-size");
  if (shards && shard_size)
    throw Error(ErrorCode::usage, "[options] --shards and --shard-size exclude each other");
  if (shards || shard_size) {
    conversion.shards =
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

struct Count {
  size_t tensors = 0;
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
};

std::map<plan::Decision, Count> count(const plan::Plan& plan) {
  std::map<plan::Decision, Count> counts;
  for (const plan::PlannedTensor& tensor : plan.tensors) {
    Count& count = counts[tensor.verdict.decision];
    ++count.tensors;
    count.bytes_in += tensor.source->info.bytes();
    count.bytes_out += tensor.bytes_out;
  }
  return counts;
}

void print_tensors(const plan::Plan& plan, Terminal& terminal) {
  Table table({{"tensor"}, {"dtype"}, {"shape"}, {"decision"}, {"stored as"}, {"rule"}, {"reason"}});
  for (const plan::PlannedTensor& tensor : plan.tensors) {
    const checkpoint::TensorInfo& info = tensor.source->info;
    table.add({printable(info.name), checkpoint::name(info.dtype), format_shape(info.shape),
               plan::name(tensor.verdict.decision), tensor.format, printable(tensor.verdict.rule),
               printable(tensor.verdict.reason)});
  }
  terminal.print(table.text());
}

}  // namespace

std::vector<Option> conversion_options() {
  std::vector<Option> all;
  for (const auto& part :
       {output_options(), plugin_options(), layer_options(), policy_options(), lora_options(),
        calibration_options(), run_options(), report_options(), original_options()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

std::vector<plugin::Assignment> settings_of(const std::vector<plugin::Setting>& set, const std::string& id) {
  std::vector<plugin::Assignment> found;
  for (const plugin::Setting& setting : set) {
    if (setting.id == id) found.push_back(setting.assignment);
  }
  return found;
}

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
  const bool low_memory = arguments.flag("low-memory");
  conversion.device = run::parse_device(arguments.text("device").value_or(low_memory ? "cpu" : "auto"));
  conversion.run.lanes =
      static_cast<uint32_t>(arguments.integer("lanes", 1, 1024).value_or(low_memory ? 1 : 0));
  conversion.run.tile_bytes = arguments.size("tile-size", kSmallestTile).value_or(plan::kTileBytes);
  const double threshold = arguments.number("quality-threshold", -400, 400).value_or(30);
  if (arguments.flag("report-quality")) conversion.quality_threshold = threshold;
  conversion.max_ram = arguments.size("max-ram").value_or(0);
  return conversion;
}

void complete_conversion(Conversion& conversion, const Arguments& arguments, Session& session) {
  const auto lines = apply_original_flags(arguments, conversion.settings, session.catalog());
  conversion.notes.insert(conversion.notes.end(), lines.begin(), lines.end());
  for (const std::string& note : conversion.notes) Session::note(note);
}

std::filesystem::path output_path(const Conversion& conversion, const plan::Plan& plan) {
  if (conversion.output) return *conversion.output;
  return plan::default_output(conversion.input, plan, conversion.shards.has_value());
}

PlannedMemory planned_memory(const Conversion& conversion, const plan::Plan& plan) {
  const uint64_t lanes = conversion.run.lanes != 0 ? conversion.run.lanes : usable_cpus();
  PlannedMemory memory{.lanes = lanes * plan::slot_bytes(plan, conversion.run.tile_bytes)};
  uint64_t layers = 0;
  for (const auto& layer : plan.layers) {
    if (!plan::needs_admission(*layer)) continue;
    memory.largest_layer =
        std::max(memory.largest_layer, plan::leased_bytes(*layer) + plan::optimizer_bytes(*layer));
    ++layers;
  }
  memory.layers = std::min(lanes, layers) * memory.largest_layer;
  if (conversion.max_ram != 0)
    memory.layers = std::min(memory.layers, std::max(conversion.max_ram, memory.largest_layer));
  return memory;
}

nlohmann::ordered_json plan_json(const Conversion& conversion, const plan::Plan& plan, uint64_t file_bytes) {
  using Json = nlohmann::ordered_json;
  const PlannedMemory memory = planned_memory(conversion, plan);
  Json json = {
      {"schema", "octavo.plan/1"},
      {"input", conversion.input.string()},
      {"output", output_path(conversion, plan).string()},
      {"format", plan.format.id},
      {"optimizer", plan.optimizer.id},
      {"models", plan.model_reasons},
      {"bytes_in", plan.bytes_in},
      {"bytes_out", plan.bytes_out},
      {"file_bytes", file_bytes},
      {"size_exact", plan.size_exact},
      {"memory", memory.total()},
      {"memory_parts",
       {{"lanes", memory.lanes}, {"layers", memory.layers}, {"largest_layer", memory.largest_layer}}},
      {"notes", plan.notes},
      {"warnings", conversion.notes},
      {"tensors", Json::array()}};
  for (const std::string& warning : plan.warnings) json["warnings"].push_back(warning);
  Json& tensors = json["tensors"];
  tensors.get_ref<Json::array_t&>().reserve(plan.tensors.size());
  for (const plan::PlannedTensor& tensor : plan.tensors) {
    const checkpoint::TensorInfo& info = tensor.source->info;
    Json& entry = tensors.emplace_back(Json::object());
    entry["name"] = info.name;
    entry["dtype"] = checkpoint::name(info.dtype);
    entry["shape"] = info.shape;
    entry["decision"] = plan::name(tensor.verdict.decision);
    entry["rule"] = tensor.verdict.rule;
    entry["reason"] = tensor.verdict.reason;
    entry["format"] = tensor.format;
    entry["optimizer"] = tensor.optimizer;
    entry["bytes_in"] = info.bytes();
    entry["bytes_out"] = tensor.bytes_out;
    if (tensor.smoothing) entry["smoothing"] = smoothing_json(*tensor.smoothing);
  }
  return json;
}

void print_plan(const Conversion& conversion, const plan::Plan& plan, uint64_t file_bytes, bool every,
                Terminal& terminal) {
  if (every) print_tensors(plan, terminal);
  terminal.print(fmt::format("{}\n", terminal.styled(Style::bold, printable(conversion.input.string()))));
  for (const std::string& reason : plan.model_reasons)
    terminal.print(fmt::format("  model    {}\n", printable(reason)));
  terminal.print(fmt::format("  format   {}, optimizer {}\n", plan.format.id, plan.optimizer.id));
  for (const auto& [decision, count] : count(plan)) {
    terminal.print(fmt::format("  {:<14} {:>6} {:<8} {:>9} -> {}\n", plan::name(decision), count.tensors,
                               count.tensors == 1 ? "tensor" : "tensors", format_bytes(count.bytes_in), format_bytes(count.bytes_out)));
  }
  print_smoothing(plan, terminal);
  for (const std::string& note : plan.notes) terminal.print(fmt::format("  note     {}\n", note));
  terminal.print(fmt::format("  size     {} -> {} ({} bytes{})\n", format_bytes(plan.bytes_in),
                             format_bytes(file_bytes), file_bytes,
                             plan.size_exact ? "" : ", or more: a policy decides by the data"));
  const PlannedMemory memory = planned_memory(conversion, plan);
  terminal.print(
      fmt::format("  memory   {} for lanes{}\n", format_bytes(memory.lanes),
                  memory.largest_layer == 0
                      ? ""
                      : fmt::format(", {} for whole layers and what is prepared (largest {})",
                                    format_bytes(memory.layers), format_bytes(memory.largest_layer))));
}

}  // namespace octavo::cli
