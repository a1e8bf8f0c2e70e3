// Progress on standard error: a bar on a terminal, now and then a line in a pipe, JSON lines for programs.
#pragma once

#include "base/progress.hpp"
#include "options.hpp"
#include "terminal.hpp"

#include <mutex>
#include <string>

namespace octavo::cli {

enum class ProgressStyle { bar, plain, json, none };

// --progress, for commands that work for a while.
Option progress_option();

// What --progress says; without it a bar on a terminal and lines elsewhere, and nothing with --quiet.
ProgressStyle progress_style(const Arguments& arguments, const Terminal& terminal);

class ProgressReporter {
 public:
  ProgressReporter(ProgressStyle style, Terminal& terminal);
  ~ProgressReporter();  // takes the bar away
  ProgressReporter(const ProgressReporter&) = delete;
  ProgressReporter& operator=(const ProgressReporter&) = delete;

  // Any thread, as often as it likes. Shown at most 10 times a second (bar), every second (json), every 10
  // seconds (plain), by the clock of `progress.seconds`.
  void update(const Progress& progress);
  // The end: takes the bar away; json gets its last line.
  void finish();

 private:
  ProgressStyle style_;
  Terminal& terminal_;
  std::mutex mutex_;
  Progress last_;
  bool shows_last_ = false;
  double next_seconds_;
};

// "[=====>    ]  52 %  5.10 GB of 9.80 GB  1.91 GB/s  2.5 s left  NAME", cut to `width` columns.
std::string progress_bar(const Progress& progress, size_t width);
// The same without the bar.
std::string progress_text(const Progress& progress);
// {"schema":"octavo.progress/1", ...} in one line.
std::string progress_json(const Progress& progress);

}  // namespace octavo::cli
