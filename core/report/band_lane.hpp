// A lane as reports use it: operations on host memory views, whatever memory the lane works in.
#pragma once

#include "plugin/backend.hpp"

#include <octavo/abi/backend.h>

#include <memory>
#include <optional>
#include <vector>

namespace octavo::report {

// A lane of a backend, or the reference operations. Used by one thread at a time.
class BandLane {
 public:
  explicit BandLane(plugin::Lane lane);
  explicit BandLane(const octavo_host& host);  // the reference

  bool on_host() const { return !lane_ || lane_->on_host(); }
  octavo_lane& raw() { return lane_ ? lane_->raw() : reference_; }
  const octavo_operations& operations() { return *raw().operations; }
  plugin::Lane* backend_lane() { return lane_ ? &*lane_ : nullptr; }  // nullptr: the reference

  // run("dequantize", [&](octavo_lane* lane, octavo_error* error) { return operations().dequantize(lane,
  // ...); }) Throws Error for a status other than OCTAVO_OK.
  template <typename Body>
  void run(const char* operation, Body&& body) {
    plugin::call("lane", operation, [&](octavo_error* error) { return body(&raw(), error); });
  }

  // Returns when all that was issued is done. Throws Error with its first failure.
  void finish();

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

}  // namespace octavo::report
