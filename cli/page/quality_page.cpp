#include "page/quality_page.hpp"

#include "base/error.hpp"
#include "base/sqnr.hpp"
#include "page/charts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <span>

namespace octavo::cli {
namespace {

constexpr size_t kSplitLines = 24;

// Light and dark as the reader's system has it; every colour is named once for each.
constexpr const char* kStyle = R"(
:root{color-scheme:light dark;--page:#fff;--text:#1b1f24;--soft:#59636e;--rule:#d8dee4;--bar:#2f6fb3;--low:#b3472f;--weight:#2f6fb3;--activation:#d08a1d;--mark:#1b1f24}
@media(prefers-color-scheme:dark){:root{--page:#14171b;--text:#e4e8ec;--soft:#9aa4af;--rule:#333a42;--bar:#6aa9ec;--low:#f0896f;--weight:#6aa9ec;--activation:#e9b04f;--mark:#e4e8ec}}
*{box-sizing:border-box}
body{margin:0 auto;padding:16px;max-width:1080px;background:var(--page);color:var(--text);font:15px/1.45 system-ui,sans-serif}
h1{font-size:22px;margin:0 0 4px;overflow-wrap:anywhere}h2{font-size:17px;margin:32px 0 8px}
p{margin:4px 0 12px;color:var(--soft);overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(136px,1fr));gap:12px;margin:16px 0}
dt{color:var(--soft);font-size:13px}dd{margin:0;font-size:20px;font-variant-numeric:tabular-nums}
figure{margin:20px 0 28px}figcaption{font-weight:600;margin-bottom:10px}
.plot{display:grid;grid-template-columns:58px 1fr;gap:8px}
.ticks{position:relative;color:var(--soft);font-size:12px;line-height:18px;text-align:right}.ticks span{position:absolute;right:0;white-space:nowrap}
.ends{display:flex;justify-content:space-between;margin-left:66px;color:var(--soft);font-size:12px}
svg{display:block;overflow:visible}.line{stroke:var(--rule)}.bar,.point{fill:var(--bar)}.low{fill:var(--low)}
.weight{fill:var(--weight)}.activation{fill:var(--activation)}.mark{stroke:var(--mark);stroke-width:2}
.split{display:grid;grid-template-columns:minmax(90px,34%) 1fr 64px;gap:8px;align-items:center;font-size:13px;margin:3px 0}
.name{overflow:hidden;text-overflow:ellipsis;white-space:nowrap;direction:rtl;text-align:left}.value{text-align:right;font-variant-numeric:tabular-nums}
.key{display:flex;flex-wrap:wrap;gap:4px 16px;font-size:13px;color:var(--soft);margin:-4px 0 8px}.key i{display:inline-block;width:10px;height:10px;margin-right:6px}
.table{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:13px;font-variant-numeric:tabular-nums}
th,td{padding:4px 10px 4px 0;text-align:right;white-space:nowrap;border-bottom:1px solid var(--rule)}
th:first-child,td:first-child{text-align:left;white-space:normal;overflow-wrap:anywhere;min-width:150px}
)";

// Of squares, as people read errors: 0.84 %.
std::string percent(double squares) { return fmt::format("{:#.3g} %", 100 * std::sqrt(squares)); }

double order_of(const PageLayer& layer) { return sqnr_order(layer.sqnr_db); }

// A place on a scale of dB: neither exact nor not finite.
bool has_place(const PageLayer& layer) { return layer.sqnr_db && std::isfinite(*layer.sqnr_db); }

// "double_blocks.3" of "double_blocks.3.img_attn.qkv"; "" without a number.
std::string block_of(const std::string& name) {
  for (size_t dot = name.find('.'); dot != name.npos; dot = name.find('.', dot + 1)) {
    const size_t end = name.find_first_not_of("0123456789", dot + 1);
    const bool numbered = end != dot + 1 && (end == name.npos || name[end] == '.');
    if (numbered) return name.substr(0, end);
  }
  return {};
}

// "a.10" after "a.9": where both have digits, the numbers are compared.
bool comes_before(std::string_view a, std::string_view b) {
  size_t i = 0, j = 0;
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const auto number_at = [&](std::string_view text, size_t& at) {
    while (at < text.size() && text[at] == '0') ++at;
    const size_t begin = at;
    while (at < text.size() && is_digit(text[at])) ++at;
    return text.substr(begin, at - begin);
  };
  while (i < a.size() && j < b.size()) {
    if (is_digit(a[i]) && is_digit(b[j])) {
      const std::string_view left = number_at(a, i), right = number_at(b, j);
      if (left.size() != right.size()) return left.size() < right.size();
      if (left != right) return left < right;
    } else if (a[i] != b[j]) {
      return a[i] < b[j];
    } else {
      ++i, ++j;
    }
  }
  return a.size() - i < b.size() - j;
}

std::string chart_by_layer(const QualityPage& page) {
  std::vector<double> values;
  for (const PageLayer& layer : page.layers) {
    if (has_place(layer)) values.push_back(*layer.sqnr_db);
  }
  std::sort(values.begin(), values.end());
  const double limit = values.empty() ? 0 : values[values.size() / 20];  // the worst twentieth stands out
  std::vector<Point> points;
  for (const PageLayer& layer : page.layers) {
    if (!has_place(layer)) continue;
    points.push_back({.label = fmt::format("{}: {:.2f} dB", layer.name, *layer.sqnr_db),
                      .low = *layer.sqnr_db,
                      .high = *layer.sqnr_db,
                      .stands_out = *layer.sqnr_db <= limit});
  }
  return point_chart("SQNR of each layer, in the order of the model", points, " dB");
}

struct BlockQuality {
  std::string name;
  double low = std::numeric_limits<double>::infinity();
  double sum = 0;
  size_t layers = 0;
};

std::string chart_by_block(const QualityPage& page) {
  std::vector<BlockQuality> blocks;
  std::map<std::string, size_t> index;
  for (const PageLayer& layer : page.layers) {
    const std::string name = block_of(layer.name);
    if (name.empty() || !has_place(layer)) continue;
    const auto [place, is_new] = index.emplace(name, blocks.size());
    if (is_new) blocks.push_back({.name = name});
    BlockQuality& block = blocks[place->second];
    block.low = std::min(block.low, *layer.sqnr_db);
    block.sum += *layer.sqnr_db;
    ++block.layers;
  }
  if (blocks.size() < 2) return {};
  std::vector<Point> points;
  for (const BlockQuality& block : blocks) {
    const double mean = block.sum / static_cast<double>(block.layers);
    points.push_back({.label = fmt::format("{}: worst {:.2f} dB, mean {:.2f} dB, {} layers", block.name,
                                           block.low, mean, block.layers),
                      .low = block.low,
                      .high = mean});
  }
  return point_chart("SQNR of each block, from the worst layer to the mean", points, " dB");
}

std::string chart_of_counts(const QualityPage& page) {
  std::vector<double> values;
  for (const PageLayer& layer : page.layers) {
    if (has_place(layer)) values.push_back(*layer.sqnr_db);
  }
  return histogram("Layers by SQNR", values, " dB");
}

std::string chart_of_shares(const std::vector<const PageLayer*>& layers) {
  std::vector<SplitBar> bars;
  for (const PageLayer* layer : layers) {
    if (!layer->outputs || bars.size() == kSplitLines) continue;
    const PageOutputs& outputs = *layer->outputs;
    bars.push_back(
        {layer->name, outputs.weight, outputs.activation, outputs.nearest_parts, percent(outputs.total)});
  }
  if (bars.empty()) return {};
  return "<h2>Errors of outputs on real inputs</h2>"
         "<div class=\"key\"><span><i style=\"background:var(--weight)\"></i>weights (W8A16)</span>"
         "<span><i style=\"background:var(--activation)\"></i>activations, on top (W8A8)</span>"
         "<span><i style=\"background:var(--mark);width:2px\"></i>nearest on the same grid</span></div>" +
         split_chart(
             fmt::format("The {} worst layers: squares of errors, by what they come from", bars.size()),
             bars);
}

std::string item(const std::string& name, const std::string& value) {
  return fmt::format("<div><dt>{}</dt><dd>{}</dd></div>", name, escaped(value));
}

std::string numbers(const QualityPage& page, const std::vector<const PageLayer*>& layers) {
  std::string html = "<dl>" + item("SQNR over all layers", sqnr_text(page.total_db)) +
                     item("layers", std::to_string(page.layers.size()));
  const auto worst =
      std::min_element(page.layers.begin(), page.layers.end(),
                       [](const PageLayer& a, const PageLayer& b) { return order_of(a) < order_of(b); });
  if (worst != page.layers.end()) html += item("worst layer", sqnr_text(worst->sqnr_db));
  double total = 0, nearest = 0;
  size_t judged = 0;
  for (const PageLayer* layer : layers) {
    if (!layer->outputs) continue;
    total += layer->outputs->total;
    nearest += layer->outputs->nearest;
    ++judged;
  }
  if (judged > 0) {
    html += item("mean output error", percent(total / static_cast<double>(judged)));
    if (nearest > 0) html += item("against nearest", fmt::format("{:.3f}", std::sqrt(total / nearest)));
  }
  return html + "</dl>\n";
}

std::string outputs_cells(const PageLayer& layer) {
  if (!layer.outputs) return "<td></td><td></td><td></td><td></td>";
  const PageOutputs& outputs = *layer.outputs;
  const double parts = outputs.weight + outputs.activation;
  const std::string share =
      outputs.has_w8a8 && parts > 0 ? fmt::format("{:.0f} %", 100 * outputs.activation / parts) : "";
  std::string against = outputs.is_nearest ? "is nearest" : "";
  if (!outputs.is_nearest && outputs.nearest > 0)
    against = fmt::format("{:.3f}", std::sqrt(outputs.total / outputs.nearest));
  return fmt::format("<td>{}</td><td>{}</td><td>{}</td><td>{}</td>",
                     outputs.has_w8a8 ? percent(outputs.total) : "", percent(outputs.weight), share, against);
}

std::string table(const std::vector<const PageLayer*>& layers) {
  const bool with_outputs = std::any_of(layers.begin(), layers.end(),
                                        [](const PageLayer* layer) { return layer->outputs.has_value(); });
  std::string html =
      "<h2>All layers, the worst first</h2><div "
      "class=\"table\"><table><thead><tr><th>layer</th><th>SQNR</th>";
  if (with_outputs) html += "<th>W8A8</th><th>W8A16</th><th>of activations</th><th>against nearest</th>";
  html += "<th>largest error</th><th>shape</th><th>format</th></tr></thead><tbody>\n";
  for (const PageLayer* layer : layers) {
    html += fmt::format("<tr><td>{}</td><td>{}</td>{}<td>{:.3g}</td><td>{} × {}</td><td>{}</td></tr>\n",
                        escaped(layer->name), sqnr_text(layer->sqnr_db),
                        with_outputs ? outputs_cells(*layer) : "", layer->max_error, layer->rows, layer->cols,
                        escaped(layer->format));
  }
  return html + "</tbody></table></div>\n";
}

}  // namespace

void sort_by_model(std::vector<PageLayer>& layers) {
  std::stable_sort(layers.begin(), layers.end(),
                   [](const PageLayer& a, const PageLayer& b) { return comes_before(a.name, b.name); });
}

std::vector<const PageLayer*> worst_first(const QualityPage& page) {
  std::vector<const PageLayer*> layers;
  for (const PageLayer& layer : page.layers) layers.push_back(&layer);
  std::stable_sort(layers.begin(), layers.end(), [](const PageLayer* a, const PageLayer* b) {
    if (a->outputs && b->outputs && a->outputs->total != b->outputs->total)
      return a->outputs->total > b->outputs->total;
    if (a->outputs.has_value() != b->outputs.has_value()) return a->outputs.has_value();
    return order_of(*a) < order_of(*b);
  });
  return layers;
}

PageOutputs page_outputs(const report::LayerOutputs& layer) {
  const auto total = [&](const report::OutputErrors& errors) {
    return layer.signal == 0 ? 0 : (layer.has_w8a8 ? errors.both : errors.weight) / layer.signal;
  };
  const double signal = layer.signal == 0 ? 1 : layer.signal;
  return {.has_w8a8 = layer.has_w8a8,
          .weight = layer.stored.weight / signal,
          .activation = layer.stored.activation / signal,
          .total = total(layer.stored),
          .nearest = total(layer.nearest),
          .nearest_parts = (layer.nearest.weight + layer.nearest.activation) / signal,
          .is_nearest = layer.is_nearest,
          .samples = layer.samples};
}

std::string html_of(const QualityPage& page) {
  const std::vector<const PageLayer*> layers = worst_first(page);
  return fmt::format(
             "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
             "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
             "<title>{0}: quality</title><style>{1}</style></head><body>\n<h1>{0}</h1>\n"
             "<p>What is stored, against {2}. octavo {3}.</p>\n",
             escaped(page.judged), kStyle, escaped(page.reference), OCTAVO_VERSION) +
         numbers(page, layers) + chart_by_layer(page) + chart_by_block(page) + chart_of_counts(page) +
         chart_of_shares(layers) + table(layers) + "</body></html>\n";
}

}  // namespace octavo::cli
