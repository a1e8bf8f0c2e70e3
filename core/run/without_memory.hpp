// Tensors that a run's device has no memory for, not even in smaller tiles: its fallback makes them.
#pragma once

#include "run/work.hpp"

#include <mutex>
#include <set>
#include <utility>

namespace octavo::run {

// For all threads.
class TensorsWithoutMemory {
 public:
  bool has(const WorkItem& piece) const {
    const std::lock_guard lock(mutex_);
    return tensors_.contains(key(piece));
  }
  void add(const WorkItem& piece) {
    const std::lock_guard lock(mutex_);
    tensors_.insert(key(piece));
  }

 private:
  // Both kinds of pieces of a layer are one tensor's.
  static std::pair<WorkKind, uint32_t> key(const WorkItem& piece) {
    return {piece.kind == WorkKind::absmax ? WorkKind::tile : piece.kind, piece.index};
  }

  mutable std::mutex mutex_;
  std::set<std::pair<WorkKind, uint32_t>> tensors_;
};

}  // namespace octavo::run
