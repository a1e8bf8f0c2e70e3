// A lane as reports use it: operations on host memory views, whatever memory the lane works in.
#pragma once

#include "plugin/backend.hpp"

#include <octavo/abi/backend.h>

#include <memory>
#include <optional>
#include <vector>

namespace octavo::stored {

// A lane of a backend, or the reference operations. Used by one thread at a time.
class BandLane {
 public:
  explicit BandLane(plugin::Lane lane);
  explicit BandLane(const octavo_host& host);  // the reference

  bool on_host() const { return !lane_ || lane_->on_host(); }
  octavo_lane& raw() { return lane_ ? lane_->raw() : reference_; }
  const octavo_operations& operations() { return *raw().operations; }
  plugin::Lane* backend_lane() { return lane_ ? &*lane_ : nullptr; }  // nullptr: the reference

  // As plugin::Lane::run: run("cast", [&](auto& op, auto* lane, auto* error) { return op.cast(lane, ...,
  // error); }). Throws Error for a status other than OCTAVO_OK.
  template <typename Body>
  void run(const char* operation, Body&& body) {
    plugin::call("lane", operation, [&](octavo_error* error) { return body(operations(), &raw(), error); });
  }

  // Returns when all that was issued is done. Throws Error with its first failure.
  void finish();

  // Operations that several reports issue; they throw as run does. Those that return a number have finished.
  void multiply(const octavo_tensor& a, const octavo_tensor& b, const octavo_tensor& c);  // c = a b^T in f32
  void dequantize(const octavo_tile& tile, octavo_tensor& values);  // in the plain basis
  void quantize_nearest(const octavo_tile& tile);                   // finishes
  octavo_error_sums error_sums(const octavo_tensor& a, const octavo_tensor& b);
  float absmax(const octavo_grid& grid, const octavo_tensor& values);  // in the grid's basis

 private:
  std::optional<plugin::Lane> lane_;
  octavo_lane reference_{};
};

// Memory that a lane's operations take instead of a view of host memory. Must not outlive the lane.
class LaneBuffer {
 public:
  // A view of the same values in the lane's memory: `host` itself where that is host memory, else a copy in
  // device memory. What `host` points to stays untouched until the lane has finished.
  octavo_tensor upload(BandLane& lane, const octavo_tensor& host);
  // A packed view of the lane's memory with the dtype and shape of `host`, whose data is not looked at.
  octavo_tensor reserve(BandLane& lane, const octavo_tensor& host);

 private:
  void* memory(BandLane& lane, uint64_t bytes);

  plugin::LaneMemory memory_;
  std::vector<std::byte> plain_;  // the reference has no memory of its own
};

// Bytes of a packed view.
uint64_t view_bytes(const octavo_tensor& view);

// Rows [row_begin, row_begin + rows) of a layer whose codes have `cols` columns: views without memory of the
// parts that the grid has.
octavo_tile tile_of(const octavo_layer& layer, const octavo_grid& grid, int64_t row_begin, int64_t rows,
                    int64_t cols);

// Calls `visit(view)` for each part that the tile has: codes, levels of scales, zero points.
template <typename Visit>
void for_each_part(octavo_tile& tile, Visit&& visit) {
  for (octavo_tensor* part : {&tile.codes, &tile.scales[0], &tile.scales[1], &tile.zero_points}) {
    if (part->rank != 0) visit(*part);
  }
}

}  // namespace octavo::stored
