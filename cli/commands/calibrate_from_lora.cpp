// A calibration file from LoRAs. The rows of a down matrix stand in for inputs; what convert_to_quant added
// to them, rows of white noise, is not invented here: its expectation is a multiple of the identity, which
// --damping adds to the Hessian exactly.
#include "base/bytes.hpp"
#include "base/error.hpp"
#include "base/words.hpp"
#include "calibration/file_contents.hpp"
#include "calibration/lora_inputs.hpp"
#include "checkpoint/layout.hpp"
#include "checkpoint/writer.hpp"
#include "commands.hpp"
#include "lora/merge_plan.hpp"
#include "session.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace octavo::cli {
namespace {

constexpr int64_t kWhiteRows = 6144;  // of convert_to_quant

struct Written {
  calibration::LoraInputs inputs;
  std::filesystem::path path;
  uint64_t bytes = 0;
  std::vector<std::string> warnings = {};
};

lora::Request request_of(const Arguments& arguments) {
  lora::Request request;
  for (const std::string& text : arguments.texts("lora")) request.files.push_back(lora::parse_wanted(text));
  if (request.files.empty()) {
    throw Error(
        ErrorCode::usage, "[options] --lora is missing",
        "octavo calibrate-from-lora model.safetensors --lora style.safetensors -o inputs.safetensors");
  }
  request.allow_partial = arguments.flag("allow-partial-lora");
  return request;
}

std::filesystem::path target_of(const Arguments& arguments, const std::filesystem::path& model) {
  if (const auto path = arguments.text("output")) return *path;
  return model.parent_path() / (model.stem().string() + "_lora_inputs.safetensors");
}

checkpoint::Layout lay_out(const calibration::LoraInputs& inputs) {
  std::vector<checkpoint::OutputTensor> tensors;
  for (const auto& [layer, rows] : inputs.layers) {
    tensors.push_back({layer + ".inputs",
                       OCTAVO_F32,
                       {static_cast<uint64_t>(rows.rows), static_cast<uint64_t>(rows.cols)}});
  }
  return checkpoint::lay_out({{calibration::kSourceKey, calibration::kFromLora}}, std::move(tensors));
}

void write(const calibration::LoraInputs& inputs, const std::filesystem::path& path,
           const checkpoint::OutputOptions& options, uint64_t& bytes) {
  const checkpoint::Layout layout = lay_out(inputs);
  bytes = layout.file_bytes;
  checkpoint::OutputFile file(path, layout, options);
  for (const auto& [layer, rows] : inputs.layers)
    file.write(layout.find(layer + ".inputs")->offset, std::as_bytes(std::span(rows.values)));
  file.commit();
}

// Of rows that are too few for gptq and quip, which store such layers as nearest does.
std::vector<std::string> warnings_of(const calibration::LoraInputs& inputs) {
  constexpr int64_t kFewest = 16;  // kFewestSamples of plugins/optimizers/feedback
  const auto short_of = std::count_if(inputs.layers.begin(), inputs.layers.end(),
                                      [](const auto& layer) { return layer.second.rows < kFewest; });
  if (short_of == 0) return {};
  return {fmt::format("{} fewer than {} rows, for which gptq and quip store nearest: give another --lora",
                      plural(static_cast<uint64_t>(short_of), "layer has", "layers have"), kFewest)};
}

Written calibrate(const Arguments& arguments) {
  const std::filesystem::path model = *arguments.text("input");
  const checkpoint::Checkpoint source = checkpoint::Checkpoint::open(model);
  const lora::MergePlan merges = lora::plan_merges(request_of(arguments), source);
  Written written{calibration::inputs_from_loras(merges, source), target_of(arguments, model)};
  if (written.inputs.layers.empty()) {
    throw Error(ErrorCode::unsupported, "[calibrate-from-lora] no layer gets a down matrix from these files",
                "LoHa, LoKr and whole differences have none");
  }
  checkpoint::OutputOptions options;
  options.force = arguments.flag("force");
  options.inputs = source.identities();
  options.inputs.insert(options.inputs.end(), merges.identities.begin(), merges.identities.end());
  write(written.inputs, written.path, options, written.bytes);
  written.warnings = warnings_of(written.inputs);
  return written;
}

// What convert_to_quant's H = A^T A + (6144 - rank) I is here: A^T A / rank has a mean diagonal of 1.
double original_damping(int64_t rows) {
  return static_cast<double>(std::max<int64_t>(kWhiteRows - rows, 0)) / static_cast<double>(rows);
}

nlohmann::ordered_json json_of(const Written& written) {
  nlohmann::ordered_json json = {{"schema", "octavo.calibrate-from-lora/1"},
                                 {"output", written.path.string()},
                                 {"file_bytes", written.bytes},
                                 {"layers", nlohmann::ordered_json::array()},
                                 {"left_out", written.inputs.left_out},
                                 {"warnings", written.warnings}};
  for (const auto& [layer, rows] : written.inputs.layers) {
    json["layers"].push_back({{"name", layer},
                              {"shape", {rows.rows, rows.cols}},
                              {"original_damping", original_damping(rows.rows)}});
  }
  return json;
}

void print(const Written& written, Terminal& terminal) {
  const auto& layers = written.inputs.layers;
  int64_t least = layers.begin()->second.rows, most = least;
  for (const auto& [layer, rows] : layers) {
    least = std::min(least, rows.rows);
    most = std::max(most, rows.rows);
  }
  const std::string rows =
      least == most ? plural(static_cast<uint64_t>(most), "row") : fmt::format("{} to {} rows", least, most);
  terminal.print(fmt::format("  {} with {} each\n", plural(layers.size(), "layer"), rows));
  if (!written.inputs.left_out.empty()) {
    terminal.print(fmt::format("  {} left out, with updates that have no down matrix ({}{})\n",
                               plural(written.inputs.left_out.size(), "layer is", "layers are"),
                               printable(written.inputs.left_out.front()),
                               written.inputs.left_out.size() > 1 ? ", ..." : ""));
  }
  terminal.print(fmt::format(
      "  these are directions that a LoRA reads, not inputs that were recorded; use a damping of 1 or "
      "more\n  output   {} ({})\n",
      printable(written.path.string()), format_bytes(written.bytes)));
}

int run(const Arguments& arguments, Terminal& terminal) {
  const Written written = calibrate(arguments);
  for (const std::string& warning : written.warnings) Session::note(warning);
  if (arguments.flag("json")) {
    terminal.print_json(json_of(written));
  } else if (!terminal.quiet()) {
    print(written, terminal);
  }
  return 0;
}

std::vector<Option> options() {
  return {
      {.name = "lora",
       .value = "FILE",
       .help = "a LoRA of the checkpoint's network; several: their rows come one after the other",
       .repeats = true},
      {.name = "output",
       .letter = 'o',
       .value = "PATH",
       .help = "where to write (default: <stem>_lora_inputs.safetensors beside the checkpoint)"},
      {.name = "force", .letter = 'f', .help = "replace an existing output"},
      {.name = "allow-partial-lora",
       .help = "go on where some entries of a LoRA have no place or do not fit"},
  };
}

}  // namespace

Command calibrate_from_lora_command() {
  return {
      .name = "calibrate-from-lora",
      .summary =
          "Make a calibration file of LoRAs, for want of recorded inputs: a guess that may help or not",
      .examples = {{"octavo calibrate-from-lora model.safetensors --lora style.safetensors -o in.safetensors",
                    "rows of the down matrices, each of root mean square 1"},
                   {"octavo calibrate-from-lora model.safetensors --lora a.safetensors --lora b.safetensors",
                    "of two LoRAs, beside the checkpoint"},
                   {"octavo convert model.safetensors --optimizer gptq --calibration-data in.safetensors "
                    "--damping 1",
                    "its directions count as much as all others; recorded inputs are better"}},
      .positional = {"input", "CHECKPOINT", 1, 1},
      .options = options,
      .run = run};
}

}  // namespace octavo::cli
