// The quality of what is stored: signal-to-noise ratios of one checkpoint against another, from the files
// alone.
#include "report/compare.hpp"

#include "base/error.hpp"
#include "base/sqnr.hpp"
#include "base/words.hpp"
#include "calibration/calibration.hpp"
#include "checkpoint/preflight.hpp"
#include "checkpoint/reader.hpp"
#include "checkpoint/text_file.hpp"
#include "commands.hpp"
#include "conversion_run.hpp"
#include "installed_formats.hpp"
#include "outputs_report.hpp"
#include "progress.hpp"
#include "report/output_error.hpp"
#include "report/recorded_rows.hpp"
#include "report_lanes.hpp"
#include "run/device.hpp"
#include "session.hpp"
#include "table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <optional>

namespace octavo::cli {
namespace {

using checkpoint::Checkpoint;
using nlohmann::ordered_json;
using report::LayerComparison;

ordered_json difference_json(const report::Difference& difference) {
  ordered_json json;
  add_sqnr(json, difference.error_sum, difference.signal_sum);
  json["relative_error"] = difference.relative_error();
  json["max_abs_error"] = difference.max_error;
  json["error_sum"] = difference.error_sum;
  json["signal_sum"] = difference.signal_sum;
  json["elements"] = difference.elements;
  return json;
}

// What is known about two files: their values, and (with inputs) what they do to outputs.
struct Verdict {
  report::Comparison comparison;
  Outputs outputs;
  std::vector<FileIdentity> files;  // that were read
};

// `judged` and `reference`: the files' names.
QualityPage page_of(const Verdict& verdict, const std::string& judged, const std::string& reference) {
  QualityPage page{
      .judged = judged, .reference = reference, .total_db = verdict.comparison.total.sqnr_db(), .layers = {}};
  for (const LayerComparison& layer : verdict.comparison.layers) {
    PageLayer entry{.name = layer.name,
                    .format = layer.format_b,
                    .rows = layer.rows,
                    .cols = layer.cols,
                    .sqnr_db = layer.difference.sqnr_db(),
                    .max_error = layer.difference.max_error,
                    .outputs = {}};
    if (const report::LayerOutputs* outputs = outputs_of(verdict.outputs, layer.name))
      entry.outputs = page_outputs(*outputs);
    page.layers.push_back(std::move(entry));
  }
  sort_by_model(page.layers);
  return page;
}

ordered_json layer_json(const LayerComparison& layer) {
  ordered_json json = {{"name", layer.name},
                       {"format", layer.format_b},
                       {"reference_format", layer.format_a},
                       {"shape", {layer.rows, layer.cols}},
                       {"bytes", layer.bytes_b},
                       {"reference_bytes", layer.bytes_a}};
  json.update(difference_json(layer.difference));
  return json;
}

ordered_json document(const report::Comparison& comparison, std::optional<double> least) {
  ordered_json json = {{"schema", "octavo.compare/1"}};
  json["layers"] = ordered_json::array();
  for (const LayerComparison& layer : comparison.layers) json["layers"].push_back(layer_json(layer));
  json["total"] = difference_json(comparison.total);
  json["total"]["layers"] = comparison.layers.size();
  if (comparison.layers.empty()) json["total"]["exact"] = false;  // nothing is known of them
  json["equal"] = comparison.equal;
  json["changed"] = ordered_json::array();
  for (const report::ChangedTensor& tensor : comparison.changed) {
    ordered_json entry = {{"name", tensor.name}, {"dtype", tensor.dtype}};
    if (tensor.difference) entry.update(difference_json(*tensor.difference));
    json["changed"].push_back(std::move(entry));
  }
  json["only_a"] = comparison.only_a;
  json["only_b"] = comparison.only_b;
  json["incomparable"] = ordered_json::array();
  for (const auto& [name, reason] : comparison.incomparable) {
    json["incomparable"].push_back({{"name", name}, {"reason", reason}});
  }
  if (least) json["min_sqnr_db"] = *least;
  return json;
}

std::string decibel(const report::Difference& difference) { return sqnr_text(difference.sqnr_db()); }

double order_of(const LayerComparison& layer) { return sqnr_order(layer.difference.sqnr_db()); }

void print_layers(Terminal& terminal, std::vector<LayerComparison> layers, size_t shown) {
  if (layers.empty() || shown == 0) return;
  std::stable_sort(layers.begin(), layers.end(),
                   [](const auto& a, const auto& b) { return order_of(a) < order_of(b); });
  const bool all = layers.size() <= shown;
  if (!all) layers.resize(shown);
  Table table({{all ? "layer" : "worst layers"},
               {"SQNR", Table::Align::right},
               {"relative error", Table::Align::right},
               {"largest error", Table::Align::right},
               {"shape"},
               {"stored as"}});
  for (const LayerComparison& layer : layers) {
    table.add({printable(layer.name), decibel(layer.difference),
               fmt::format("{:.3g}", layer.difference.relative_error()),
               fmt::format("{:.3g}", layer.difference.max_error),
               fmt::format("[{}, {}]", layer.rows, layer.cols), layer.format_a + " -> " + layer.format_b});
  }
  terminal.print(table.text());
}

void print_names(Terminal& terminal, const std::string& heading, const std::vector<std::string>& names) {
  constexpr size_t kShown = 10;
  if (names.empty()) return;
  terminal.print(fmt::format("\n{} ({}):\n", heading, names.size()));
  for (size_t i = 0; i < std::min(kShown, names.size()); ++i)
    terminal.print("  " + printable(names[i]) + "\n");
  if (names.size() > kShown) terminal.print(fmt::format("  and {} more\n", names.size() - kShown));
}

void print_text(Terminal& terminal, const report::Comparison& comparison, size_t shown) {
  print_layers(terminal, comparison.layers, shown);
  if (!comparison.layers.empty()) {
    terminal.print(fmt::format("\ntotal {} over {}\n",
                               terminal.styled(Style::bold, decibel(comparison.total)),
                               plural(comparison.layers.size(), "layer")));
  }
  terminal.print(fmt::format("{} equal\n", plural(comparison.equal, "other tensor is", "other tensors are")));
  std::vector<std::string> names;
  for (const report::ChangedTensor& tensor : comparison.changed) {
    names.push_back(tensor.name + " " + tensor.dtype +
                    (tensor.difference ? ", " + decibel(*tensor.difference) : ""));
  }
  print_names(terminal, "stored alike, with other values", names);
  print_names(terminal, "only in the first", comparison.only_a);
  print_names(terminal, "only in the second", comparison.only_b);
  names.clear();
  for (const auto& [name, reason] : comparison.incomparable)
    names.push_back(fmt::format("{}: {}", name, reason));
  print_names(terminal, "not comparable", names);
}

void print_left_out(Terminal& terminal, const report::OutputReport& outputs) {
  std::vector<std::string> names;
  for (const auto& [name, reason] : outputs.left_out) names.push_back(fmt::format("{}: {}", name, reason));
  print_names(terminal, "outputs not judged", names);
}

size_t count_below(const report::Comparison& comparison, double least) {
  return static_cast<size_t>(std::count_if(comparison.layers.begin(), comparison.layers.end(),
                                           [&](const auto& layer) { return !(order_of(layer) >= least); }));
}

// Why a comparison does not show that every layer is as good as asked for; "" if it does.
std::string below_least(const report::Comparison& comparison, double least) {
  if (const size_t below = count_below(comparison, least); below != 0)
    return fmt::format("{} of {} {} below {} dB", below, plural(comparison.layers.size(), "layer"),
                       below == 1 ? "is" : "are", least);
  if (comparison.layers.empty()) return "no layer could be compared, so none is known to reach --min-sqnr";
  if (!comparison.incomparable.empty())
    return fmt::format("{} could not be compared with --min-sqnr",
                       plural(comparison.incomparable.size(), "layer"));
  return "";
}

[[noreturn]] void refuse_statistics(const std::string& path) {
  throw Error(ErrorCode::bad_input,
              fmt::format("[inputs] {}: it holds no recorded rows (<layer>.inputs)", printable(path)),
              "statistics, and rows that stand in for inputs, do not tell what outputs would be");
}

// What is read, and so no place for a page.
std::vector<FileIdentity> input_files(const Checkpoint& a, const Checkpoint& b,
                                      const std::optional<calibration::Calibration>& inputs) {
  std::vector<FileIdentity> files = a.identities();
  for (const FileIdentity& file : b.identities()) files.push_back(file);
  if (inputs) files.insert(files.end(), inputs->identities().begin(), inputs->identities().end());
  return files;
}

Verdict compare_files(const Arguments& arguments, Terminal& terminal) {
  std::optional<calibration::Calibration> inputs;
  const int64_t rows = arguments.integer("inputs-rows", 1, 1'000'000).value_or(report::kJudgingRows);
  if (const auto path = arguments.text("inputs")) {
    inputs.emplace(calibration::Options{.rows = std::numeric_limits<int64_t>::max()});
    inputs->add(*path);
    if (!report::has_recorded_rows(*inputs)) refuse_statistics(*path);
  }
  const Checkpoint a = Checkpoint::open(arguments.texts("checkpoint")[0]);
  const Checkpoint b = Checkpoint::open(arguments.texts("checkpoint")[1]);
  const std::vector<FileIdentity> files = input_files(a, b, inputs);
  if (const auto page = arguments.text("html"))
    checkpoint::check_target(*page, checkpoint::OutputKind::file, arguments.flag("force"), files);
  Session session(arguments);
  const auto formats = installed_formats(session);
  const stored::Survey survey_a = stored::survey(a, formats);
  const stored::Survey survey_b = stored::survey(b, formats);
  const run::ChosenDevice device =
      run::choose_device(run::parse_device(arguments.text("device").value_or("auto")), {}, session.catalog(),
                         session.services().host());
  ProgressReporter progress(progress_style(arguments, terminal), terminal);
  report::CompareOptions options =
      lanes_for_reports(device, static_cast<unsigned>(arguments.integer("lanes", 1, 1024).value_or(0)));
  options.progress = [&](const Progress& now) { progress.update(now); };
  Verdict verdict{report::compare({a, survey_a}, {b, survey_b}, options), {}, files};
  if (inputs) {
    const auto find = [&](const std::string& layer) { return report::recorded_rows(*inputs, layer, rows); };
    verdict.outputs = report::judge_outputs({a, survey_a}, {b, survey_b}, find, options);
  }
  progress.finish();
  return verdict;
}

int run(const Arguments& arguments, Terminal& terminal) {
  const auto least = arguments.number("min-sqnr", -1000, 1000);
  const auto shown = arguments.integer("worst", 0, 1'000'000);
  const Verdict verdict = compare_files(arguments, terminal);
  const report::Comparison& comparison = verdict.comparison;
  const std::string failure = least ? below_least(comparison, *least) : "";
  const auto name = [&](size_t i) {
    return std::filesystem::path(arguments.texts("checkpoint")[i]).filename().string();
  };
  const QualityPage page = page_of(verdict, name(1), name(0));
  if (const auto path = arguments.text("html"))
    checkpoint::write_text_file(*path, html_of(page), arguments.flag("force"), verdict.files);
  if (arguments.flag("json")) {
    ordered_json json = document(comparison, least);
    json["warnings"] = failure.empty() ? ordered_json::array() : ordered_json::array({failure});
    add_outputs(verdict.outputs, page, json);
    terminal.print_json(json);
  } else {
    print_text(terminal, comparison, static_cast<size_t>(shown.value_or(20)));
    if (verdict.outputs) {
      print_outputs(terminal, verdict.outputs, page, static_cast<size_t>(shown.value_or(20)));
      print_left_out(terminal, *verdict.outputs);
    }
  }
  if (failure.empty()) return 0;
  Session::note(failure);
  return static_cast<int>(ErrorCode::verify);
}

std::vector<Option> options() {
  return {
      {.name = "worst", .value = "N", .help = "how many layers to list, the worst first (20)"},
      {.name = "min-sqnr", .value = "DB", .help = "exit code 7 if a layer is below this"},
      {.name = "inputs",
       .value = "FILE",
       .help = "rows that layers were really given (<layer>.inputs): errors of their outputs, too"},
      {.name = "inputs-rows",
       .value = "N",
       .help = "how many rows of each layer are used, evenly spaced (256)",
       .tail = true},
      {.name = "html", .value = "FILE", .help = "write a page with charts and every layer"},
      {.name = "force", .letter = 'f', .help = "replace an existing page"},
      {.name = "device",
       .value = "DEVICE",
       .help = "where layers are dequantized: auto, or a backend's id",
       .environment = "OCTAVO_DEVICE",
       .tail = true},
      {.name = "lanes",
       .value = "N",
       .help = "how many layers are worked on at a time",
       .environment = "OCTAVO_LANES",
       .tail = true},
      progress_option(),
  };
}

}  // namespace

Command compare_command() {
  return {
      .name = "compare",
      .summary = "Measure how far the stored values of one checkpoint are from those of another",
      .examples = {{"octavo compare model.safetensors model_int8.safetensors",
                    "SQNR of every layer and in all"},
                   {"octavo compare a.safetensors b.safetensors --min-sqnr 35",
                    "exit code 7 if a layer is worse"},
                   {"octavo compare a.safetensors b.safetensors --inputs inputs.safetensors --html page.html",
                    "errors of outputs on real inputs, and charts"},
                   {"octavo compare a.safetensors b.safetensors --json", "for programs"}},
      .positional = {"checkpoint", "A B", 2, 2},
      .options = options,
      .run = run};
}

}  // namespace octavo::cli
