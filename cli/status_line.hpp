// The last line of standard error, which progress keeps rewriting while messages go by above it.
#pragma once

#include <mutex>
#include <string>
#include <string_view>

namespace octavo::cli {

// Thread safe.
class StatusLine {
 public:
  void show(std::string text);  // replaces the line; no line breaks in `text`
  void clear();
  void message(std::string_view text);  // whole lines, above the status line if there is one

 private:
  std::mutex mutex_;
  std::string shown_;
};

}  // namespace octavo::cli
