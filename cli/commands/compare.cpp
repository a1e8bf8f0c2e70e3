// The quality of what is stored: signal-to-noise ratios of one checkpoint against another, from the files
// alone.
#include "report/compare.hpp"

#include "base/error.hpp"
#include "checkpoint/reader.hpp"
#include "commands.hpp"
#include "installed_formats.hpp"
#include "layer_inputs.hpp"
#include "page/quality_page.hpp"
#include "progress.hpp"
#include "report/output_error.hpp"
#include "report/work_sharing.hpp"
#include "run/device.hpp"
#include "session.hpp"
#include "table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <optional>

namespace octavo::cli {
namespace {

using checkpoint::Checkpoint;
using nlohmann::ordered_json;
using report::LayerComparison;

ordered_json difference_json(const report::Difference& difference) {
  const auto sqnr = difference.sqnr_db();
  return {{"sqnr_db", sqnr ? ordered_json(*sqnr) : ordered_json(nullptr)},
          {"relative_error", difference.relative_error()},
          {"max_abs_error", difference.max_error},
          {"error_sum", difference.error_sum},
          {"signal_sum", difference.signal_sum},
          {"elements", difference.elements}};
}

constexpr int64_t kInputRows = 256;

// What is known about two files: their values, and (with inputs) what they do to outputs.
struct Verdict {
  report::Comparison comparison;
  std::optional<report::OutputReport> outputs;

  const report::LayerOutputs* outputs_of(const std::string& name) const {
    if (!outputs) return nullptr;
    const auto found = std::find_if(outputs->layers.begin(), outputs->layers.end(),
                                    [&](const report::LayerOutputs& layer) { return layer.name == name; });
    return found == outputs->layers.end() ? nullptr : &*found;
  }
};

ordered_json relative(double error, double signal) { return signal > 0 ? std::sqrt(error / signal) : 0; }

ordered_json errors_json(const report::LayerOutputs& layer, const report::OutputErrors& errors) {
  return {{"w8a16", relative(errors.weight, layer.signal)},
          {"w8a8", layer.has_w8a8 ? relative(errors.both, layer.signal) : ordered_json(nullptr)}};
}

ordered_json outputs_json(const report::LayerOutputs& layer) {
  ordered_json json = {{"samples", layer.samples}};
  json.update(errors_json(layer, layer.stored));
  const double parts = layer.stored.weight + layer.stored.activation;
  json["weight_share"] = parts > 0 ? ordered_json(layer.stored.weight / parts) : ordered_json(nullptr);
  json["activation_share"] =
      parts > 0 ? ordered_json(layer.stored.activation / parts) : ordered_json(nullptr);
  json["nearest"] = errors_json(layer, layer.nearest);
  json["is_nearest"] = layer.is_nearest;
  return json;
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

QualityPage page_of(const Verdict& verdict, const Arguments& arguments) {
  const auto name = [&](size_t i) {
    return std::filesystem::path(arguments.texts("checkpoint")[i]).filename().string();
  };
  QualityPage page{
      .judged = name(1), .reference = name(0), .total_db = verdict.comparison.total.sqnr_db(), .layers = {}};
  for (const LayerComparison& layer : verdict.comparison.layers) {
    PageLayer entry{.name = layer.name,
                    .format = layer.format_b,
                    .rows = layer.rows,
                    .cols = layer.cols,
                    .sqnr_db = layer.difference.sqnr_db(),
                    .max_error = layer.difference.max_error,
                    .outputs = {}};
    if (const report::LayerOutputs* outputs = verdict.outputs_of(layer.name))
      entry.outputs = page_outputs(*outputs);
    page.layers.push_back(std::move(entry));
  }
  sort_by_model(page.layers);
  return page;
}

void add_outputs(const Verdict& verdict, const QualityPage& page, ordered_json& json) {
  json["worst_first"] = ordered_json::array();
  for (const PageLayer* layer : worst_first(page)) json["worst_first"].push_back(layer->name);
  if (!verdict.outputs) return;
  for (ordered_json& layer : json["layers"]) {
    if (const auto* outputs = verdict.outputs_of(layer["name"].get<std::string>()))
      layer["outputs"] = outputs_json(*outputs);
  }
  json["outputs_left_out"] = ordered_json::array();
  for (const auto& [name, reason] : verdict.outputs->left_out)
    json["outputs_left_out"].push_back({{"name", name}, {"reason", reason}});
}

ordered_json document(const report::Comparison& comparison, std::optional<double> least) {
  ordered_json json = {{"schema", "octavo.compare/1"}};
  json["layers"] = ordered_json::array();
  for (const LayerComparison& layer : comparison.layers) json["layers"].push_back(layer_json(layer));
  json["total"] = difference_json(comparison.total);
  json["total"]["layers"] = comparison.layers.size();
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

std::string decibel(const report::Difference& difference) {
  const auto sqnr = difference.sqnr_db();
  return sqnr ? fmt::format("{:.2f} dB", *sqnr) : "exact";
}

double order_of(const LayerComparison& layer) {
  return layer.difference.sqnr_db().value_or(std::numeric_limits<double>::infinity());
}

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
    terminal.print(fmt::format("\ntotal {} over {} layers\n",
                               terminal.styled(Style::bold, decibel(comparison.total)),
                               comparison.layers.size()));
  }
  terminal.print(fmt::format("{} other tensors are equal\n", comparison.equal));
  std::vector<std::string> names;
  for (const report::ChangedTensor& tensor : comparison.changed) {
    names.push_back(tensor.name + " " + tensor.dtype +
                    (tensor.difference ? ", " + decibel(*tensor.difference) : ""));
  }
  print_names(terminal, "stored alike, with other values", names);
  print_names(terminal, "only in the first", comparison.only_a);
  print_names(terminal, "only in the second", comparison.only_b);
  names.clear();
  for (const auto& [name, reason] : comparison.incomparable) names.push_back(name + ": " + reason);
  print_names(terminal, "not comparable", names);
}

std::string percent(double error, double signal) {
  return signal > 0 ? fmt::format("{:#.3g} %", 100 * std::sqrt(error / signal)) : "0 %";
}

void print_outputs(Terminal& terminal, const Verdict& verdict, const QualityPage& page, size_t shown) {
  Table table({{"worst outputs"},
               {"W8A16", Table::Align::right},
               {"W8A8", Table::Align::right},
               {"of activations", Table::Align::right},
               {"against nearest", Table::Align::right},
               {"SQNR", Table::Align::right},
               {"stored as"}});
  for (const PageLayer* entry : worst_first(page)) {
    const report::LayerOutputs* layer = verdict.outputs_of(entry->name);
    if (layer == nullptr || shown-- == 0) break;
    const report::OutputErrors& stored = layer->stored;
    const double parts = stored.weight + stored.activation;
    const double nearest = layer->has_w8a8 ? layer->nearest.both : layer->nearest.weight;
    const double total = layer->has_w8a8 ? stored.both : stored.weight;
    table.add({printable(layer->name), percent(stored.weight, layer->signal),
               layer->has_w8a8 ? percent(stored.both, layer->signal) : "",
               layer->has_w8a8 && parts > 0 ? fmt::format("{:.0f} %", 100 * stored.activation / parts) : "",
               layer->is_nearest ? "is nearest"
               : nearest > 0     ? fmt::format("{:.3f}", std::sqrt(total / nearest))
                                 : "",
               entry->sqnr_db ? fmt::format("{:.2f} dB", *entry->sqnr_db) : "exact", layer->format});
  }
  if (!table.empty()) terminal.print("\n" + table.text());
  std::vector<std::string> names;
  for (const auto& [name, reason] : verdict.outputs->left_out) names.push_back(name + ": " + reason);
  print_names(terminal, "outputs not judged", names);
}

size_t count_below(const report::Comparison& comparison, double least) {
  return static_cast<size_t>(std::count_if(comparison.layers.begin(), comparison.layers.end(),
                                           [&](const auto& layer) { return !(order_of(layer) >= least); }));
}

Verdict compare_files(const Arguments& arguments, Terminal& terminal) {
  std::optional<LayerInputs> inputs;
  const int64_t rows = arguments.integer("inputs-rows", 1, 1'000'000).value_or(kInputRows);
  if (const auto path = arguments.text("inputs")) inputs.emplace(*path, rows);
  const Checkpoint a = Checkpoint::open(arguments.texts("checkpoint")[0]);
  const Checkpoint b = Checkpoint::open(arguments.texts("checkpoint")[1]);
  Session session(arguments);
  const auto formats = installed_formats(session);
  const report::Survey survey_a = report::survey(a, formats);
  const report::Survey survey_b = report::survey(b, formats);
  const run::ChosenDevice device =
      run::choose_device(run::parse_device(arguments.text("device").value_or("auto")), {}, session.catalog(),
                         session.services().host());
  const unsigned suggested =
      device.backend.suggested_lanes() == 0 ? report::usable_cpus() : device.backend.suggested_lanes();
  ProgressReporter progress(progress_style(arguments, terminal), terminal);
  report::CompareOptions options;
  options.lanes = static_cast<unsigned>(arguments.integer("lanes", 1, 1024).value_or(suggested));
  options.open_lane = [&](unsigned index, unsigned count) {
    octavo_lane_request request{};
    request.struct_size = sizeof request;
    request.index = index;
    request.count = count;
    request.device = device.devices[index % device.devices.size()];
    request.slots = 1;
    return report::BandLane(device.backend.open_lane(request));
  };
  options.progress = [&](const run::Progress& now) { progress.update(now); };
  Verdict verdict{report::compare({a, survey_a}, {b, survey_b}, options), {}};
  if (inputs) {
    const auto find = [&](const std::string& layer) { return inputs->find(layer); };
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
  const QualityPage page = page_of(verdict, arguments);
  if (arguments.flag("json")) {
    ordered_json json = document(comparison, least);
    add_outputs(verdict, page, json);
    terminal.print_json(json);
  } else {
    print_text(terminal, comparison, static_cast<size_t>(shown.value_or(20)));
    if (verdict.outputs) print_outputs(terminal, verdict, page, static_cast<size_t>(shown.value_or(20)));
  }
  if (const auto path = arguments.text("html")) write_page(*path, page, arguments.flag("force"));
  const size_t below = least ? count_below(comparison, *least) : 0;
  if (below == 0) return 0;
  Session::note(fmt::format("{} layers are below {} dB", below, *least));
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
