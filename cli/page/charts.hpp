// Charts as SVG that keeps its sizes: lengths along the page are percentages and text has its size in pixels,
// so that a page of 360 pixels shows fewer pixels of a bar and not smaller letters. Colours come from the
// page's CSS: classes `point`, `low`, `bar`, `weight`, `activation`, `mark`, `line`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace octavo::cli {

// For text in HTML and SVG, attributes included.
std::string escaped(std::string_view text);

// A value, or a span of values, of one thing. Neither reaches down to the axis, which need not begin at 0.
struct Point {
  std::string label;  // what a pointer on it shows
  double low = 0;
  double high = 0;          // of a value the same
  bool stands_out = false;  // of another colour
};

// From left to right, with gridlines and numbers of `unit` beside them.
std::string point_chart(const std::string& title, const std::vector<Point>& points, const std::string& unit);

// Counts of values in up to 20 bins of a round width.
std::string histogram(const std::string& title, const std::vector<double>& values, const std::string& unit);

struct SplitBar {
  std::string label;
  double weight = 0;
  double activation = 0;
  double mark = 0;   // where nearest would end
  std::string text;  // at the end of the line
};

// A line for each, its two parts one after the other.
std::string split_chart(const std::string& title, const std::vector<SplitBar>& bars);

}  // namespace octavo::cli
