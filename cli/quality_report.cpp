#include "quality_report.hpp"

#include "base/error.hpp"
#include "base/sqnr.hpp"
#include "table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

namespace octavo::cli {
namespace {

struct Quality {
  size_t exact = 0;                // layers that lost nothing
  std::optional<double> mean;      // dB, over the others
  std::vector<std::string> below;  // names of layers under the threshold
};

Quality quality_of(const run::RunReport& report, double threshold) {
  Quality quality;
  double sum = 0;
  for (const run::LayerResult& layer : report.layers) {
    const double sqnr = layer.sqnr_db();
    if (sqnr < threshold) quality.below.push_back(layer.name);
    if (layer.error_sum == 0) {
      ++quality.exact;
    } else {
      sum += sqnr;
    }
  }
  const size_t others = report.layers.size() - quality.exact;
  if (others > 0) quality.mean = sum / static_cast<double>(others);
  return quality;
}

std::vector<const run::LayerResult*> by_name(const run::RunReport& report) {
  std::vector<const run::LayerResult*> layers;
  for (const run::LayerResult& layer : report.layers) layers.push_back(&layer);
  std::sort(layers.begin(), layers.end(), [](const auto* a, const auto* b) { return a->name < b->name; });
  return layers;
}

}  // namespace

void print_quality(const run::RunReport& report, double threshold, Terminal& terminal) {
  Table table({{"layer", Table::Align::left},
               {"MSE", Table::Align::right},
               {"SQNR", Table::Align::right},
               {"max error in basis", Table::Align::right},
               {"", Table::Align::left}});
  for (const run::LayerResult* layer : by_name(report)) {
    const double values = static_cast<double>(layer->rows) * static_cast<double>(layer->cols);
    const double sqnr = layer->sqnr_db();
    table.add({printable(layer->name), fmt::format("{:.8f}", layer->error_sum / values),
               sqnr_text(sqnr_db(layer->signal_sum, layer->error_sum)),
               fmt::format("{:.4f}", layer->max_error), sqnr < threshold ? "low" : ""});
  }
  terminal.print(table.text("  "));
  const Quality quality = quality_of(report, threshold);
  terminal.print(fmt::format("  layers   {}, {} exact, {} below {} dB; mean {}\n", report.layers.size(),
                             quality.exact, quality.below.size(), threshold, sqnr_text(quality.mean)));
}

nlohmann::ordered_json quality_json(const run::RunReport& report, double threshold) {
  const Quality quality = quality_of(report, threshold);
  nlohmann::ordered_json json = {{"threshold_db", threshold}, {"mean_sqnr_db", nullptr}};
  if (quality.mean) json["mean_sqnr_db"] = *quality.mean;
  json["exact"] = quality.exact;
  json["below"] = quality.below;
  return json;
}

}  // namespace octavo::cli
