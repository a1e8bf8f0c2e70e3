#include "page/charts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace octavo::cli {
namespace {

constexpr int kHeight = 180;  // pixels of a plot
constexpr int kTickHeight = 18;
constexpr double kPoint = 6;  // height of a point
constexpr double kBins = 16;  // of a histogram, about

// A round step that makes about four lines.
double round_step(double span) {
  if (span <= 0) return 1;
  const double raw = span / 4;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= raw) return factor * power;
  }
  return 10 * power;
}

struct Scale {
  double low = 0;
  double high = 1;
  double step = 1;

  double y(double value) const {  // pixels from the top
    const double share = (std::clamp(value, low, high) - low) / (high - low);
    return kHeight * (1 - share);
  }
};

Scale scale_for(double low, double high) {
  Scale scale;
  scale.step = round_step(high - low);
  scale.low = std::floor(low / scale.step) * scale.step;
  scale.high = std::ceil(high / scale.step) * scale.step;
  if (scale.high <= scale.low) scale.high = scale.low + scale.step;
  return scale;
}

std::string number(double value) { return fmt::format("{:.6g}", value); }

std::string ticks(const Scale& scale, const std::string& unit) {
  std::string html = fmt::format("<div class=\"ticks\" style=\"height:{}px\">", kHeight);
  for (double value = scale.low; value <= scale.high + scale.step / 2; value += scale.step) {
    html += fmt::format("<span style=\"top:{:.1f}px\">{}</span>", scale.y(value) - kTickHeight / 2.0,
                        number(std::abs(value) < scale.step / 2 ? 0 : value) + unit);
  }
  return html + "</div>";
}

std::string gridlines(const Scale& scale) {
  std::string svg;
  for (double value = scale.low; value <= scale.high + scale.step / 2; value += scale.step) {
    svg += fmt::format(R"(<line class="line" x1="0" x2="100%" y1="{0:.1f}" y2="{0:.1f}"/>)", scale.y(value));
  }
  return svg;
}

std::string rectangle(const char* name, double x, double width, double top, double bottom) {
  return fmt::format(R"(<rect class="{}" x="{:.3f}%" width="{:.3f}%" y="{:.1f}" height="{:.1f}"/>)", name, x,
                     width, top, std::max(bottom - top, 1.0));
}

std::string figure(const std::string& title, const std::string& inner) {
  return fmt::format("<figure><figcaption>{}</figcaption>{}</figure>\n", escaped(title), inner);
}

std::string plot(const std::string& title, const Scale& scale, const std::string& unit,
                 const std::string& shapes) {
  return fmt::format(
      R"(<div class="plot">{}<svg role="img" aria-label="{}" width="100%" height="{}">{}{}</svg></div>)",
      ticks(scale, unit), escaped(title), kHeight + 1, gridlines(scale), shapes);
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

std::string point_chart(const std::string& title, const std::vector<Point>& points, const std::string& unit) {
  if (points.empty()) return {};
  double low = points.front().low, high = points.front().high;
  for (const Point& point : points) {
    low = std::min(low, point.low);
    high = std::max(high, point.high);
  }
  const Scale scale = scale_for(low, high);
  const double step = 100.0 / static_cast<double>(points.size());
  std::string shapes;
  for (size_t i = 0; i < points.size(); ++i) {
    const Point& point = points[i];
    const double x = step * (static_cast<double>(i) + 0.1);
    const double top = scale.y(point.high) - kPoint / 2, bottom = scale.y(point.low) + kPoint / 2;
    shapes += fmt::format("<g><title>{}</title>{}</g>", escaped(point.label),
                          rectangle(point.stands_out ? "low" : "point", x, step * 0.8, top, bottom));
  }
  return figure(title, plot(title, scale, unit, shapes));
}

std::string histogram(const std::string& title, const std::vector<double>& values, const std::string& unit) {
  if (values.empty()) return {};
  const auto [least, most_value] = std::minmax_element(values.begin(), values.end());
  const double width = round_step((*most_value - *least) / kBins * 4);
  std::map<int64_t, size_t> counts;
  for (const double value : values) ++counts[static_cast<int64_t>(std::floor(value / width))];
  const int64_t first = counts.begin()->first, last = counts.rbegin()->first;
  const auto bins = static_cast<double>(last - first + 1);
  size_t most = 0;
  for (const auto& [bin, count] : counts) most = std::max(most, count);
  const Scale scale = scale_for(0, static_cast<double>(most));
  std::string shapes;
  for (const auto& [bin, count] : counts) {
    const double x = 100 * static_cast<double>(bin - first) / bins;
    const double from = static_cast<double>(bin) * width;
    shapes +=
        fmt::format("<g><title>{} to {}{}: {}</title>", number(from), number(from + width), unit, count);
    shapes +=
        rectangle("bar", x + 4 / bins, 92 / bins, scale.y(static_cast<double>(count)), kHeight) + "</g>";
  }
  const std::string ends = fmt::format(R"(<div class="ends"><span>{}{}</span><span>{}{}</span></div>)",
                                       number(static_cast<double>(first) * width), unit,
                                       number(static_cast<double>(last + 1) * width), unit);
  return figure(title, plot(title, scale, "", shapes) + ends);
}

std::string split_chart(const std::string& title, const std::vector<SplitBar>& bars) {
  if (bars.empty()) return {};
  double most = 0;
  for (const SplitBar& bar : bars) most = std::max({most, bar.weight + bar.activation, bar.mark});
  if (most <= 0) most = 1;
  std::string lines;
  for (const SplitBar& bar : bars) {
    const double weight = 100 * bar.weight / most, activation = 100 * bar.activation / most;
    lines += fmt::format(
        R"(<div class="split"><span class="name" title="{0}"><bdi>{0}</bdi></span><svg role="img" aria-label="{0}: {1}" width="100%" height="16">{2}{3}<line class="mark" x1="{4:.3f}%" x2="{4:.3f}%" y1="0" y2="16"/></svg><span class="value">{1}</span></div>)",
        escaped(bar.label), escaped(bar.text), rectangle("weight", 0, weight, 3, 13),
        bar.activation > 0 ? rectangle("activation", weight, activation, 3, 13) : "", 100 * bar.mark / most);
  }
  return figure(title, lines);
}

}  // namespace octavo::cli
