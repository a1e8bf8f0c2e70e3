#include "progress.hpp"

#include "base/bytes.hpp"
#include "base/error.hpp"
#include "table.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace octavo::cli {
namespace {

constexpr size_t kBarColumns = 24;

double interval(ProgressStyle style) {
  switch (style) {
    case ProgressStyle::bar:
      return 0.1;
    case ProgressStyle::json:
      return 1;
    default:
      return 10;
  }
}

double fraction(const Progress& progress) {
  if (progress.bytes_total == 0) return 0;
  return std::min(1.0, static_cast<double>(progress.bytes_done) / static_cast<double>(progress.bytes_total));
}

double bytes_per_second(const Progress& progress) {
  return progress.seconds > 0 ? static_cast<double>(progress.bytes_done) / progress.seconds : 0;
}

// Negative if it cannot be known yet.
double seconds_left(const Progress& progress) {
  const double speed = bytes_per_second(progress);
  if (speed <= 0 || progress.bytes_total < progress.bytes_done) return -1;
  return static_cast<double>(progress.bytes_total - progress.bytes_done) / speed;
}

// The first `width` columns; text is UTF-8 without escape sequences.
std::string cut(const std::string& text, size_t width) {
  size_t columns = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0) == 0x80) continue;
    if (columns++ == width) return text.substr(0, i);
  }
  return text;
}

}  // namespace

Option progress_option() {
  return {
      .name = "progress",
      .value = "STYLE",
      .help = "how progress is shown on standard error (a bar on a terminal, a line every 10 s elsewhere)",
      .choices = {"bar", "plain", "json", "none"},
      .tail = true,
      .also = {{"--no-progress", "none"}}};
}

ProgressStyle progress_style(const Arguments& arguments, const Terminal& terminal) {
  const auto asked = arguments.text("progress");
  if (!asked) {
    if (terminal.quiet()) return ProgressStyle::none;
    return terminal.error_is_terminal() ? ProgressStyle::bar : ProgressStyle::plain;
  }
  if (*asked == "bar") return ProgressStyle::bar;
  if (*asked == "json") return ProgressStyle::json;
  return *asked == "plain" ? ProgressStyle::plain : ProgressStyle::none;
}

ProgressReporter::ProgressReporter(ProgressStyle style, Terminal& terminal)
    : style_(style),
      terminal_(terminal),
      next_seconds_(style == ProgressStyle::plain ? interval(style) : 0) {}

ProgressReporter::~ProgressReporter() {
  if (style_ == ProgressStyle::bar) terminal_.status_line().clear();
}

void ProgressReporter::update(const Progress& progress) {
  if (style_ == ProgressStyle::none) return;
  const std::lock_guard lock(mutex_);
  last_ = progress;
  shows_last_ = progress.seconds >= next_seconds_;
  if (!shows_last_) return;
  next_seconds_ = progress.seconds + interval(style_);
  if (style_ == ProgressStyle::bar) {
    terminal_.status_line().show(progress_bar(progress, terminal_.error_width() - 1));
  } else if (style_ == ProgressStyle::json) {
    terminal_.status_line().message(progress_json(progress) + "\n");
  } else {
    terminal_.status_line().message(progress_text(progress) + "\n");
  }
}

void ProgressReporter::finish() {
  const std::lock_guard lock(mutex_);
  if (style_ == ProgressStyle::bar) terminal_.status_line().clear();
  if (style_ == ProgressStyle::json && !shows_last_)
    terminal_.status_line().message(progress_json(last_) + "\n");
  shows_last_ = true;
}

std::string progress_text(const Progress& progress) {
  std::string text;
  if (progress.bytes_total > 0) text = fmt::format("{:3.0f} %  ", 100 * fraction(progress));
  text += format_bytes(progress.bytes_done);
  if (progress.bytes_total > 0) text += " of " + format_bytes(progress.bytes_total);
  text += fmt::format("  {}/s", format_bytes(static_cast<uint64_t>(bytes_per_second(progress))));
  if (seconds_left(progress) >= 0) text += fmt::format("  {} left", format_duration(seconds_left(progress)));
  if (!progress.tensor.empty()) text += "  " + printable(progress.tensor);
  return text;
}

std::string progress_bar(const Progress& progress, size_t width) {
  const auto filled = static_cast<size_t>(fraction(progress) * static_cast<double>(kBarColumns));
  std::string bar(filled, '=');
  if (filled < kBarColumns) bar += '>';
  bar.resize(kBarColumns, ' ');
  return cut(fmt::format("[{}] {}", bar, progress_text(progress)), width);
}

std::string progress_json(const Progress& progress) {
  nlohmann::ordered_json line;
  line["schema"] = "octavo.progress/1";
  line["bytes_done"] = progress.bytes_done;
  line["bytes_total"] = progress.bytes_total;
  line["seconds"] = progress.seconds;
  line["bytes_per_second"] = bytes_per_second(progress);
  if (seconds_left(progress) >= 0) line["seconds_left"] = seconds_left(progress);
  line["tensor"] = progress.tensor;
  line["tensors_done"] = progress.tensors_done;
  line["tensors_total"] = progress.tensors_total;
  return line.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace octavo::cli
