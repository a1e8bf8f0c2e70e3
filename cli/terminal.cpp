#include "terminal.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/ioctl.h>

namespace octavo::cli {
namespace {

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

bool wants_color(ColorChoice choice, bool is_terminal) {
  if (choice != ColorChoice::automatic) return choice == ColorChoice::always;
  if (is_set("NO_COLOR")) return false;
  if (is_set("CLICOLOR_FORCE") && std::strcmp(std::getenv("CLICOLOR_FORCE"), "0") != 0) return true;
  const char* kind = std::getenv("TERM");
  if (kind != nullptr && std::strcmp(kind, "dumb") == 0) return false;
  return is_terminal;
}

const char* escape_of(Style style) {
  switch (style) {
    case Style::bold:
      return "\x1b[1m";
    case Style::dim:
      return "\x1b[2m";
    case Style::red:
      return "\x1b[31m";
    case Style::yellow:
      return "\x1b[33m";
    case Style::green:
      return "\x1b[32m";
    case Style::cyan:
      return "\x1b[36m";
    case Style::plain:
      break;
  }
  return "";
}

std::string in_style(bool color, Style style, std::string_view text) {
  if (!color || style == Style::plain) return std::string(text);
  return fmt::format("{}{}\x1b[0m", escape_of(style), text);
}

}  // namespace

Terminal::Terminal()
    : out_is_terminal_(isatty(STDOUT_FILENO) == 1), error_is_terminal_(isatty(STDERR_FILENO) == 1) {
  set_color(ColorChoice::automatic);
}

void Terminal::set_color(ColorChoice choice) {
  out_color_ = wants_color(choice, out_is_terminal_);
  error_color_ = wants_color(choice, error_is_terminal_);
}

size_t Terminal::error_width() const {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

std::string Terminal::styled(Style style, std::string_view text) const {
  return in_style(out_color_, style, text);
}

std::string Terminal::error_styled(Style style, std::string_view text) const {
  return in_style(error_color_, style, text);
}

void Terminal::print(std::string_view text) {
  if (out_closed_) return;
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (written && std::fflush(stdout) == 0) return;
  if (errno != EPIPE) {
    throw Error(ErrorCode::io, fmt::format("[output] writing to standard output: {}", std::strerror(errno)));
  }
  out_closed_ = true;
}

void Terminal::print_json(const nlohmann::ordered_json& document) {
  has_printed_json_ = true;
  print(document.dump(2, ' ', out_is_terminal_, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

nlohmann::ordered_json error_json(const Error& error) {
  return {{"code", static_cast<int>(error.code())}, {"message", error.what()}, {"hint", error.hint()}};
}

std::string format_duration(double seconds) {
  if (!(seconds >= 0) || seconds > 1e9) return "?";
  if (seconds < 0.9995) return fmt::format("{:.0f} ms", seconds * 1e3);
  if (seconds < 9.95) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
}

}  // namespace octavo::cli
