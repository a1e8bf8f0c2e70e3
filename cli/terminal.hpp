// What the program shows: data on standard output, everything else on standard error, colours only where
// somebody can see them.
#pragma once

#include "base/error.hpp"
#include "status_line.hpp"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace octavo::cli {

enum class ColorChoice { automatic, always, never };
enum class Style { plain, bold, dim, red, yellow, green, cyan };

class Terminal {
 public:
  Terminal();

  // Decides by `choice`, else NO_COLOR, CLICOLOR_FORCE, TERM=dumb, else whether the stream is a terminal.
  void set_color(ColorChoice choice);

  bool error_is_terminal() const { return error_is_terminal_; }
  StatusLine& status_line() { return status_line_; }
  bool quiet() const { return quiet_; }  // -q: no progress
  void set_quiet(bool quiet) { quiet_ = quiet; }
  size_t error_width() const;  // columns of standard error; 80 if unknown

  // `text` in a style on standard output (error_styled: on standard error); as it is where there are no
  // colours.
  std::string styled(Style style, std::string_view text) const;
  std::string error_styled(Style style, std::string_view text) const;

  // Writes to standard output. Throws Error io if that fails, except that a closed pipe is not an error: the
  // reader has seen enough.
  void print(std::string_view text);
  // One JSON document and a newline; there is to be one only. Bytes that are no UTF-8 become U+FFFD; on a
  // terminal all but ASCII is escaped.
  void print_json(const nlohmann::ordered_json& document);
  bool has_printed_json() const { return has_printed_json_; }  // or tried to

 private:
  bool out_is_terminal_;
  bool error_is_terminal_;
  bool out_color_ = false;
  bool error_color_ = false;
  bool out_closed_ = false;
  bool has_printed_json_ = false;
  bool quiet_ = false;
  StatusLine status_line_;
};

// The "error" of a JSON document.
nlohmann::ordered_json error_json(const Error& error);

// "1.2 s", "340 ms", "2 min 5 s", "3 h 20 min".
std::string format_duration(double seconds);

}  // namespace octavo::cli
