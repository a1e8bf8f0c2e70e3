// Counts what is done and tells a listener, at most 20 times a second.
#pragma once

#include "base/progress.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>

namespace octavo {

using ProgressFunction = std::function<void(const Progress&)>;

// Members may be called from any thread.
class Meter {
 public:
  // `listener` may be empty.
  Meter(uint64_t bytes_total, size_t tensors_total, ProgressFunction listener)
      : listener_(std::move(listener)) {
    progress_.bytes_total = bytes_total;
    progress_.tensors_total = tensors_total;
  }

  void add(uint64_t bytes, const std::string& tensor) {
    const std::lock_guard lock(mutex_);
    progress_.bytes_done += bytes;
    progress_.seconds = seconds();
    if (!listener_ || progress_.seconds < next_seconds_) return;
    next_seconds_ = progress_.seconds + 0.05;
    progress_.tensor = tensor;
    listener_(progress_);
  }

  // All is done: the listener hears of it in any case.
  void finish() {
    const std::lock_guard lock(mutex_);
    progress_.tensors_done = progress_.tensors_total;
    progress_.tensor.clear();
    progress_.seconds = seconds();
    if (listener_) listener_(progress_);
  }

 private:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  const ProgressFunction listener_;
  std::mutex mutex_;
  Progress progress_;
  double next_seconds_ = 0;
};

}  // namespace octavo
