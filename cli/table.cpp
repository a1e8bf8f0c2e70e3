#include "table.hpp"

#include <algorithm>
#include <stdexcept>

namespace octavo::cli {

size_t display_width(std::string_view text) {
  size_t width = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\x1b') {
      const size_t end = text.find('m', i);
      if (end == text.npos) break;
      i = end;
    } else if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) {
      ++width;
    }
  }
  return width;
}

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

void Table::add(std::vector<std::string> cells) {
  if (cells.size() != columns_.size()) throw std::logic_error("a table row needs one cell for each column");
  rows_.push_back(std::move(cells));
}

std::string Table::text(const std::string& indent) const {
  std::vector<size_t> widths;
  std::vector<std::string> headings;
  for (size_t i = 0; i < columns_.size(); ++i) {
    headings.push_back(columns_[i].heading);
    widths.push_back(display_width(columns_[i].heading));
    for (const auto& row : rows_) widths[i] = std::max(widths[i], display_width(row[i]));
  }
  std::string result;
  add_line(result, indent, headings, widths);
  for (const auto& row : rows_) add_line(result, indent, row, widths);
  return result;
}

void Table::add_line(std::string& text, const std::string& indent, const std::vector<std::string>& cells,
                     const std::vector<size_t>& widths) const {
  text += indent;
  for (size_t i = 0; i < cells.size(); ++i) {
    const size_t padding = widths[i] - display_width(cells[i]);
    const bool last = i + 1 == cells.size();
    if (columns_[i].align == Align::right) text.append(padding, ' ');
    text += cells[i];
    if (columns_[i].align == Align::left && !last) text.append(padding, ' ');
    if (!last) text += "  ";
  }
  text.erase(text.find_last_not_of(' ') + 1);
  text += '\n';
}

}  // namespace octavo::cli
