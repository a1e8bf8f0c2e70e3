#include "base/bytes.hpp"
#include "base/error.hpp"
#include "base/sqnr.hpp"
#include "base/words.hpp"
#include "checkpoint/text_file.hpp"
#include "commands.hpp"
#include "conversion.hpp"
#include "conversion_run.hpp"
#include "conversion_sources.hpp"
#include "edit_options.hpp"
#include "layer_template.hpp"
#include "original_flags.hpp"
#include "outputs_report.hpp"
#include "page/quality_page.hpp"
#include "plan_report.hpp"
#include "progress.hpp"
#include "quality_report.hpp"
#include "run/output.hpp"
#include "run/signals.hpp"
#include "session.hpp"
#include "similar_reasons.hpp"
#include "smoothing_report.hpp"
#include "table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace octavo::cli {
namespace {

constexpr size_t kShownOutputs = 20;
constexpr const char* kEdit = "Edit mode of convert_to_quant";

nlohmann::ordered_json layer_json(const run::LayerResult& layer) {
  nlohmann::ordered_json json = {{"name", layer.name},           {"format", layer.format},
                                 {"optimizer", layer.optimizer}, {"shape", {layer.rows, layer.cols}},
                                 {"bytes_in", layer.bytes_in},   {"bytes_out", layer.bytes_out}};
  add_sqnr(json, layer.error_sum, layer.signal_sum);
  json["max_abs_error_in_basis"] = layer.max_error;
  if (layer.zeroed != 0) json["nonfinite_zeroed"] = layer.zeroed;
  if (layer.overflow != 0) json["overflow_clamped"] = layer.overflow;
  if (layer.underflow != 0) json["underflow_to_zero"] = layer.underflow;
  if (layer.floored_rows != 0) json["floored_rows"] = layer.floored_rows;
  if (layer.rows_sent_back != 0) json["rows_sent_back"] = layer.rows_sent_back;
  if (layer.stored_as_nearest) {
    json["stored_as_nearest"] = true;
    json["reason"] = layer.nearest_reason;
  }
  if (layer.bias_corrected) json["bias_corrected"] = true;
  if (!layer.note.empty()) json["note"] = layer.note;
  return json;
}

QualityPage page_of(const Conversion& conversion, const Outcome& outcome) {
  const Total total = total_of(outcome.report);
  QualityPage page{.judged = outcome.path.filename().string(),
                   .reference = conversion.input.filename().string(),
                   .total_db = sqnr_db(total.signal, total.error),
                   .layers = {}};
  for (const run::LayerResult& layer : outcome.report.layers) {
    PageLayer entry{.name = layer.name,
                    .format = layer.format,
                    .rows = layer.rows,
                    .cols = layer.cols,
                    .sqnr_db = sqnr_db(layer.signal_sum, layer.error_sum),
                    .max_error = layer.max_error,
                    .outputs = {}};
    if (const report::LayerOutputs* judged = outputs_of(outcome.outputs, layer.name))
      entry.outputs = page_outputs(*judged);
    page.layers.push_back(std::move(entry));
  }
  sort_by_model(page.layers);
  return page;
}

void print_json(const Conversion& conversion, const ConversionSources& sources, const Outcome& outcome,
                Terminal& terminal) {
  nlohmann::ordered_json json = plan_json(conversion, outcome.plan, outcome.file_bytes);
  json["schema"] = "octavo.convert/1";
  json["output"] = outcome.path.string();
  json["loras"] = sources.json();
  if (sources.calibration() != nullptr) json["calibration"] = sources.calibration_json(outcome.plan);
  if (outcome.plan.settings.smoothing) json["smoothing"] = smoothing_json(outcome.plan);
  json["device"] = outcome.device;
  for (const std::string& note : outcome.notes) json["notes"].push_back(note);
  json["lanes"] = outcome.report.lanes;
  json["seconds"] = outcome.seconds;
  json["bytes_per_second"] =
      outcome.seconds > 0 ? static_cast<double>(outcome.report.bytes_read) / outcome.seconds : 0.0;
  json["peak_memory"] = outcome.report.peak_memory;
  const Total total = total_of(outcome.report);
  add_sqnr(json, total.error, total.signal);
  json["layers"] = nlohmann::ordered_json::array();
  for (const run::LayerResult& layer : outcome.report.layers) json["layers"].push_back(layer_json(layer));
  if (conversion.quality_threshold)
    json["quality"] = quality_json(outcome.report, *conversion.quality_threshold);
  if (outcome.outputs) add_outputs(outcome.outputs, page_of(conversion, outcome), json);
  terminal.print_json(json);
}

void print_worst(const run::RunReport& report, Terminal& terminal) {
  std::vector<const run::LayerResult*> worst;
  for (const run::LayerResult& layer : report.layers) worst.push_back(&layer);
  std::stable_sort(worst.begin(), worst.end(),
                   [](const auto* a, const auto* b) { return a->sqnr_db() < b->sqnr_db(); });
  if (worst.size() > 5) worst.resize(5);
  Table table({{"worst layers", Table::Align::left},
               {"SQNR", Table::Align::right},
               {"shape", Table::Align::left},
               {"format", Table::Align::left}});
  for (const run::LayerResult* layer : worst) {
    table.add({printable(layer->name), decibel_text(layer->error_sum, layer->signal_sum),
               fmt::format("[{}, {}]", layer->rows, layer->cols), layer->format});
  }
  terminal.print(table.text("  "));
}

void print_counts(const run::RunReport& report, Terminal& terminal) {
  int64_t zeroed = 0, overflow = 0, underflow = 0, floored = 0, sent_back = 0, biases = 0;
  for (const run::LayerResult& layer : report.layers) {
    zeroed += layer.zeroed;
    overflow += layer.overflow;
    underflow += layer.underflow;
    floored += layer.floored_rows;
    sent_back += layer.rows_sent_back;
    biases += layer.bias_corrected ? 1 : 0;
  }
  const auto line = [&](int64_t count, std::string_view one, std::string_view many, std::string_view what) {
    if (count != 0)
      terminal.print(fmt::format("  {} {}\n", plural(static_cast<uint64_t>(count), one, many), what));
  };
  line(zeroed, "non-finite value", {}, "became 0");
  line(overflow, "value", {}, "clamped to the stored dtype");
  line(underflow, "value", {}, "became 0 in the stored dtype");
  line(floored, "row", {}, "so small that little or nothing but 0 is stored");
  line(sent_back, "row", {}, "stored as nearest, which was as good or better");
  line(biases, "bias", "biases", "corrected");
}

// Layers that an optimizer left to nearest, counted by the reason it gave.
void print_nearest(const run::RunReport& report, Terminal& terminal) {
  SimilarReasons reasons;
  for (const run::LayerResult& layer : report.layers) {
    if (layer.stored_as_nearest) reasons.add(layer.nearest_reason, layer.name);
  }
  for (const SimilarReasons::Group& group : reasons.groups()) {
    terminal.print(fmt::format("  {} of {} stored as nearest ({}{}): {}\n", group.count,
                               plural(report.layers.size(), "layer"), printable(group.first),
                               group.count > 1 ? ", ..." : "", printable(group.text())));
  }
}

void print_summary(const Conversion& conversion, const Outcome& outcome, Terminal& terminal) {
  print_plan(conversion, outcome.plan, outcome.file_bytes, false, terminal);
  const Total total = total_of(outcome.report);
  terminal.print(fmt::format("  quality  {} over {}\n", decibel_text(total.error, total.signal),
                             plural(outcome.report.layers.size(), "layer")));
  print_counts(outcome.report, terminal);
  print_nearest(outcome.report, terminal);
  if (const auto quality = conversion.quality_threshold) {
    print_quality(outcome.report, *quality, terminal);
    if (outcome.outputs)
      print_outputs(terminal, outcome.outputs, page_of(conversion, outcome), kShownOutputs);
  } else {
    print_worst(outcome.report, terminal);
  }
  terminal.print(
      fmt::format("  time     {} on {} with {}, {}/s, peak memory {}\n", format_duration(outcome.seconds),
                  outcome.device, plural(outcome.report.lanes, "lane"),
                  format_bytes(static_cast<uint64_t>(static_cast<double>(outcome.report.bytes_read) /
                                                     std::max(outcome.seconds, 1e-9))),
                  format_bytes(outcome.report.peak_memory)));
  terminal.print(conversion.discard ? "  output   discarded\n"
                                    : fmt::format("  output   {}\n", printable(outcome.path.string())));
}

// Flags of an edit mean nothing to a conversion.
void note_edit_flags(const Arguments& arguments, Conversion& conversion) {
  for (const Option& option : marker_options("")) {
    if (arguments.has(option.name))
      conversion.notes.push_back(fmt::format("--{} has no effect: it is for --edit-quant", option.name));
  }
}

int run(const Arguments& arguments, Terminal& terminal) {
  if (arguments.flag("edit-quant")) return edit(arguments, terminal);
  Conversion conversion = read_conversion(arguments);
  if (const auto page = arguments.text("html")) conversion.page = *page;
  note_edit_flags(arguments, conversion);
  const std::string dry_run = arguments.text("dry-run").value_or("");
  if (dry_run == "create-template") return write_layer_template(std::move(conversion), arguments, terminal);
  if (!dry_run.empty()) return show_plan(std::move(conversion), true, arguments, terminal);
  conversion.judges_outputs = !conversion.discard && (conversion.quality_threshold || conversion.page);
  Session session(arguments, conversion.max_ram);
  complete_conversion(conversion, arguments, session);
  ProgressReporter progress(progress_style(arguments, terminal), terminal);
  const checkpoint::Checkpoint source = checkpoint::Checkpoint::open(conversion.input);
  const ConversionSources sources(conversion, source, session);
  const Outcome outcome = convert(conversion, sources, source, session, progress);
  progress.finish();
  if (conversion.page) {
    checkpoint::write_text_file(*conversion.page, html_of(page_of(conversion, outcome)), conversion.force,
                                source.identities());
  }
  if (arguments.flag("json")) {
    print_json(conversion, sources, outcome, terminal);
  } else if (!terminal.quiet()) {
    print_summary(conversion, outcome, terminal);
  }
  return 0;
}

std::vector<Option> options() {
  std::vector<Option> all = conversion_options();
  all.push_back(progress_option());
  all.push_back({.name = "html",
                 .value = "FILE",
                 .help = "write a page with charts and every layer; --force replaces one",
                 .group = "Report"});
  all.push_back({.name = "edit-quant",
                 .help = "the same as octavo edit: change markers, convert nothing",
                 .group = kEdit,
                 .tail = true});
  for (Option option : marker_options(kEdit)) {
    option.tail = true;
    all.push_back(std::move(option));
  }
  all.push_back({.name = "dry-run",
                 .value = "WHAT",
                 .help = "Show the plan and write nothing, failing where convert would, or write a layer "
                         "config that says the same",
                 .choices = {"analyze", "create-template"},
                 .bare = "analyze"});
  return all;
}

}  // namespace

Command convert_command() {
  return {.name = "convert",
          .summary = "Convert a checkpoint: quantize its layers and copy the rest",
          .examples = {{"octavo convert model.safetensors", "INT8 with ConvRot, beside the input"},
                       {"octavo convert model.safetensors --format int8_tensorwise -o small.safetensors",
                        "plain INT8 rows, which the most programs load"},
                       {"octavo convert diffusers-folder/ --format fp16 --shards 4", "FP16 in four files"},
                       {"octavo convert model.safetensors --dry-run create-template",
                        "a layer config to edit, for --layer-config"}},
          .positional = {"input", "FILE", 0, 1},
          .options = options,
          .run = run,
          .sections = flag_sections(),
          .program_names = {"convert_to_quant", "ctq"}};
}

}  // namespace octavo::cli
