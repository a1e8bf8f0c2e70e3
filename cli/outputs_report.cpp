#include "outputs_report.hpp"

#include "base/error.hpp"
#include "base/sqnr.hpp"
#include "table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace octavo::cli {
namespace {

using nlohmann::ordered_json;

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

std::string percent(double error, double signal) {
  return signal > 0 ? fmt::format("{:#.3g} %", 100 * std::sqrt(error / signal)) : "0 %";
}

}  // namespace

const report::LayerOutputs* outputs_of(const Outputs& outputs, const std::string& name) {
  if (!outputs) return nullptr;
  const auto found = std::lower_bound(
      outputs->layers.begin(), outputs->layers.end(), name,
      [](const report::LayerOutputs& layer, const std::string& wanted) { return layer.name < wanted; });
  return found == outputs->layers.end() || found->name != name ? nullptr : &*found;
}

void add_outputs(const Outputs& outputs, const QualityPage& page, ordered_json& json) {
  json["worst_first"] = ordered_json::array();
  for (const PageLayer* layer : worst_first(page)) json["worst_first"].push_back(layer->name);
  if (!outputs) return;
  for (ordered_json& layer : json["layers"]) {
    if (const auto* judged = outputs_of(outputs, layer["name"].get<std::string>()))
      layer["outputs"] = outputs_json(*judged);
  }
  json["outputs_left_out"] = ordered_json::array();
  for (const auto& [name, reason] : outputs->left_out)
    json["outputs_left_out"].push_back({{"name", name}, {"reason", reason}});
}

void print_outputs(Terminal& terminal, const Outputs& outputs, const QualityPage& page, size_t shown) {
  Table table({{"worst outputs"},
               {"W8A16", Table::Align::right},
               {"W8A8", Table::Align::right},
               {"of activations", Table::Align::right},
               {"against nearest", Table::Align::right},
               {"SQNR", Table::Align::right},
               {"stored as"}});
  for (const PageLayer* entry : worst_first(page)) {
    const report::LayerOutputs* layer = outputs_of(outputs, entry->name);
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
               sqnr_text(entry->sqnr_db), layer->format});
  }
  if (!table.empty()) terminal.print("\n" + table.text());
}

}  // namespace octavo::cli
