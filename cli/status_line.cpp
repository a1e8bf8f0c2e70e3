#include "status_line.hpp"

#include <cstdio>

namespace octavo::cli {
namespace {

constexpr const char* kEraseLine = "\r\x1b[K";

// A standard error that cannot be written to is no reason to stop.
void write(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

}  // namespace

void StatusLine::show(std::string text) {
  const std::lock_guard lock(mutex_);
  if (text == shown_) return;
  shown_ = std::move(text);
  write(kEraseLine + shown_);
}

void StatusLine::clear() {
  const std::lock_guard lock(mutex_);
  if (!shown_.empty()) write(kEraseLine);
  shown_.clear();
}

void StatusLine::message(std::string_view text) {
  const std::lock_guard lock(mutex_);
  if (shown_.empty()) return write(std::string(text));
  write(kEraseLine + std::string(text) + shown_);
}

}  // namespace octavo::cli
