// A slot: the memory of one tile on its way through a lane.
//
// One block of host memory holds source, codes, scales and zero points one after the other; on a device there
// is a second block with the same offsets. So one copy brings the source in and one brings everything that
// was made out.
//
// A tile that is larger than the slot's usual block (a whole layer, a tall tile) needs a larger block where
// the lane works. On a device the host's block stays as it is: such a tile streams through it in pieces, two
// of which take turns, because pinning a layer's worth of host memory takes longer than copying it.
#pragma once

#include "plan/tile_shape.hpp"
#include "plugin/backend.hpp"

#include <octavo/abi/grid.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

namespace octavo::run {

// Used by its lane's thread only.
class Slot {
 public:
  Slot(plugin::Lane& lane, uint32_t number, uint64_t bytes);
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

  uint32_t number() const { return number_; }
  // At least `bytes` of host memory. What was there is lost where it has to grow, here and below.
  std::span<std::byte> buffer(uint64_t bytes);
  // And as much on the device.
  std::span<std::byte> host(uint64_t bytes);
  // At least `bytes` where the lane works.
  void hold(uint64_t bytes);
  // True where the lane holds more than the host's block has room for.
  bool streams() const { return !lane_.on_host() && device_.bytes() > host_.bytes(); }
  // Gives back what it grew by, on the device all of that: another slot's tile may need it.
  void shrink();
  // The tile's views in the lane's memory, for `rows` rows from `row_begin`.
  octavo_tile tile(const plan::PlannedLayer& layer, int64_t row_begin, int64_t rows);
  // A packed view [rows, cols] of the lane's memory from `offset` on.
  octavo_tensor view(uint64_t offset, uint32_t dtype, int64_t rows, int64_t cols) const;
  // Between host and device in the lane's order; nothing to do where the lane works in host memory.
  void copy_in(uint64_t bytes) { copy_in(0, bytes); }
  void copy_in(uint64_t begin, uint64_t end);
  void copy_out(uint64_t begin, uint64_t end);

  using Read = std::function<void(uint64_t begin, std::span<std::byte> target)>;
  using Write = std::function<void(uint64_t begin, std::span<const std::byte> bytes)>;
  // Brings bytes [0, bytes) of the tile to where the lane works, piece by piece where it streams.
  void fill(uint64_t bytes, const Read& read);
  // Hands out bytes [begin, begin + bytes) of the tile, `begin` counted from there: what copy_out() has
  // brought, or piece by piece where it streams.
  void take_out(uint64_t begin, uint64_t bytes, const Write& write);
  // Ends streaming: the host's block has [begin, end) of the tile and room for all of it.
  void bring_out(uint64_t begin, uint64_t end);

 private:
  void hold_on_device(uint64_t bytes);
  void grow_host(uint64_t bytes);
  std::span<std::byte> piece(uint64_t number, uint64_t bytes) const;
  std::byte* host_data() const { return static_cast<std::byte*>(host_.data()); }
  std::byte* work_data() const {
    return lane_.on_host() ? host_data() : static_cast<std::byte*>(device_.data());
  }

  plugin::Lane& lane_;
  uint32_t number_;
  uint64_t usual_bytes_;
  plugin::LaneMemory host_;
  plugin::LaneMemory device_;  // empty where the lane works in host memory, and until it is needed
};

}  // namespace octavo::run
