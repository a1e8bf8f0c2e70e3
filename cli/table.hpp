// Text tables with aligned columns.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace octavo::cli {

class Table {
 public:
  enum class Align { left, right };
  struct Column {
    std::string heading;
    Align align = Align::left;
  };

  explicit Table(std::vector<Column> columns);
  // One text for each column. Colours may be in it, line breaks may not.
  void add(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }
  // Every line begins with `indent`; the last column is not padded.
  std::string text(const std::string& indent = "") const;

 private:
  void add_line(std::string& text, const std::string& indent, const std::vector<std::string>& cells,
                const std::vector<size_t>& widths) const;

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// Columns that a text takes on a terminal: code points outside of escape sequences.
size_t display_width(std::string_view text);

}  // namespace octavo::cli
