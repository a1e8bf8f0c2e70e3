// A slot: the memory of one tile on its way through a lane.
//
// One block of host memory holds source, codes, scales and zero points one after the other; on a device there
// is a second block with the same offsets. So one copy brings the source in and one brings everything that
// was made out.
#pragma once

#include "plan/tile_shape.hpp"
#include "plugin/backend.hpp"

#include <octavo/abi/grid.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace octavo::run {

// Used by its lane's thread only.
class Slot {
 public:
  Slot(plugin::Lane& lane, uint32_t number, uint64_t bytes);
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

  uint32_t number() const { return number_; }
  // At least `bytes` of host memory (and as much on the device). What was there is lost where it has to grow.
  std::span<std::byte> host(uint64_t bytes);
  // Gives back what it grew by.
  void shrink();
  // The tile's views in the lane's memory, for `rows` rows from `row_begin`.
  octavo_tile tile(const plan::PlannedLayer& layer, int64_t row_begin, int64_t rows);
  // A packed view [rows, cols] of the lane's memory from `offset` on.
  octavo_tensor view(uint64_t offset, uint32_t dtype, int64_t rows, int64_t cols) const;
  // Between host and device in the lane's order; nothing to do where the lane works in host memory.
  void copy_in(uint64_t bytes) { copy_in(0, bytes); }
  void copy_in(uint64_t begin, uint64_t end);
  void copy_out(uint64_t begin, uint64_t end);

 private:
  void grow(uint64_t bytes);
  std::byte* host_data() const { return static_cast<std::byte*>(host_.data()); }
  std::byte* work_data() const {
    return lane_.on_host() ? host_data() : static_cast<std::byte*>(device_.data());
  }

  plugin::Lane& lane_;
  uint32_t number_;
  uint64_t usual_bytes_;
  plugin::LaneMemory host_;
  plugin::LaneMemory device_;  // empty where the lane works in host memory
};

}  // namespace octavo::run
