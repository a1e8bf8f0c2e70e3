// The pieces of a run in their order, each taken by one lane.
#pragma once

#include <cstddef>
#include <mutex>
#include <optional>
#include <set>
#include <vector>

namespace octavo::run {

// Thread safe.
class WorkQueue {
 public:
  explicit WorkQueue(size_t count) : count_(count) {}

  // The number of the first piece that nobody has.
  std::optional<size_t> take() {
    const std::lock_guard lock(mutex_);
    if (!returned_.empty()) return returned_.extract(returned_.begin()).value();
    if (next_ == count_) return std::nullopt;
    return next_++;
  }

  // Pieces that a lane took and did not finish; they are taken again before later ones.
  void give_back(const std::vector<size_t>& numbers) {
    const std::lock_guard lock(mutex_);
    returned_.insert(numbers.begin(), numbers.end());
  }

  bool has_more() const {
    const std::lock_guard lock(mutex_);
    return !returned_.empty() || next_ < count_;
  }

  // How many have been taken, for the first time.
  size_t taken() const {
    const std::lock_guard lock(mutex_);
    return next_;
  }

 private:
  mutable std::mutex mutex_;
  size_t count_;
  size_t next_ = 0;
  std::set<size_t> returned_;
};

}  // namespace octavo::run
