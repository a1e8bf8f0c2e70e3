// How many tensors a run is done with, counted by their pieces.
#pragma once

#include "run/work.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace octavo::run {

// Threads may share it once expect() has returned.
class TensorCount {
 public:
  void expect(const std::vector<WorkItem>& pieces) {
    for (const WorkItem& piece : pieces) ++pieces_left_[tensor_of(piece)];
  }
  void finished(const WorkItem& piece) {
    if (--pieces_left_.at(tensor_of(piece)) == 0) ++done_;
  }
  size_t done() const { return done_; }
  size_t total() const { return pieces_left_.size(); }

 private:
  using Tensor = std::pair<WorkKind, uint32_t>;
  // A layer that is measured first is one tensor all the same.
  static Tensor tensor_of(const WorkItem& piece) {
    return {piece.kind == WorkKind::absmax ? WorkKind::tile : piece.kind, piece.index};
  }

  std::map<Tensor, std::atomic<uint64_t>> pieces_left_;
  std::atomic<size_t> done_{0};
};

}  // namespace octavo::run
