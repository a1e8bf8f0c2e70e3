// SPDX-License-Identifier: Apache-2.0
// Work on a lane from C++: memory of the lane, parts of views, and operations that throw instead of returning
// a status.
#pragma once

#include <octavo/abi/backend.h>
#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <cstdint>
#include <cstdlib>
#include <memory>

namespace octavo {

inline bool on_device(const octavo_lane& lane) { return lane.memory == OCTAVO_MEMORY_DEVICE; }

// Where the lane's memory comes from; nullptr for a lane of no backend, whose memory is ordinary memory.
inline const octavo_backend_api* backend_of(const octavo_lane& lane) {
  // The size of a pointer is what is meant. NOLINTNEXTLINE(bugprone-sizeof-expression)
  return OCTAVO_HAS(&lane, octavo_lane, backend) ? lane.backend : nullptr;
}

// Memory that the lane's operations work in, 64-byte aligned, given back with the handle, which must not
// outlive the call that was given the lane.
class LaneMemory {
 public:
  LaneMemory() = default;
  LaneMemory(octavo_lane& lane, std::uint64_t bytes) : data_(allocate(lane, bytes), Release{&lane}) {}

  void* data() const { return data_.get(); }

 private:
  struct Release {
    octavo_lane* lane;
    void operator()(void* data) const {
      if (backend_of(*lane) == nullptr) return std::free(data);
      lane->backend->release(lane, lane->memory, data);
    }
  };

  static void* allocate(octavo_lane& lane, std::uint64_t bytes) {
    void* data = nullptr;
    if (backend_of(lane) == nullptr) {
      data = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
    } else {
      octavo_error error = empty_error();
      check(lane.backend->allocate(&lane, lane.memory, bytes, &data, &error), error);
    }
    if (data == nullptr && bytes != 0) throw std::bad_alloc();
    return data;
  }

  std::unique_ptr<void, Release> data_{nullptr, Release{nullptr}};
};

// A packed matrix [rows, cols] in a lane's memory.
class LaneMatrix {
 public:
  LaneMatrix() = default;
  LaneMatrix(octavo_lane& lane, std::uint32_t dtype, std::int64_t rows, std::int64_t cols)
      : memory_(lane, static_cast<std::uint64_t>(rows * cols) * bytes_of(dtype)),
        view_(tensor_view(memory_.data(), dtype, {rows, cols})) {
    view_.memory = lane.memory;
    view_.device = lane.device;
  }

  const octavo_tensor& view() const { return view_; }
  octavo_tensor& view() { return view_; }

 private:
  LaneMemory memory_;
  octavo_tensor view_{};
};

// Rows [row, row + rows) and columns [col, col + cols) of a rank 2 view.
inline octavo_tensor part_of(const octavo_tensor& view, std::int64_t row, std::int64_t rows, std::int64_t col,
                             std::int64_t cols) {
  octavo_tensor part = view;
  part.data = static_cast<char*>(view.data) +
              (row * view.row_stride + col) * static_cast<std::int64_t>(bytes_of(view.dtype));
  part.shape[0] = rows;
  part.shape[1] = cols;
  return part;
}
inline octavo_tensor rows_of(const octavo_tensor& view, std::int64_t row, std::int64_t rows) {
  return part_of(view, row, rows, 0, view.shape[1]);
}
inline octavo_tensor cols_of(const octavo_tensor& view, std::int64_t col, std::int64_t cols) {
  return part_of(view, 0, view.shape[0], col, cols);
}

// Copies between memories, in the lane's order. wait_for(lane) before the CPU reads what was copied to it.
inline void copy_bytes(octavo_lane& lane, void* target, std::uint32_t target_memory, const void* source,
                       std::uint32_t source_memory, std::uint64_t bytes) {
  if (backend_of(lane) == nullptr) {
    std::memcpy(target, source, bytes);
    return;
  }
  octavo_error error = empty_error();
  check(lane.backend->copy(&lane, target, target_memory, source, source_memory, bytes, &error), error);
}

// Returns when everything that was issued to the lane is done. `slot`: one of the lane's, 0 where the caller
// was given none (a preparation).
inline void wait_for(octavo_lane& lane, std::uint32_t slot = 0) {
  if (backend_of(lane) == nullptr) return;
  octavo_error error = empty_error();
  check(lane.backend->record(&lane, slot, &error), error);
  check(lane.backend->wait(&lane, slot, &error), error);
}

// Issues one operation of the lane's table; throws PluginError. issue(lane, &octavo_operations::gram, &x, &h,
// 0u).
template <typename Operation, typename... Arguments>
void issue(octavo_lane& lane, Operation operation, Arguments... arguments) {
  octavo_error error = empty_error();
  check((lane.operations->*operation)(&lane, arguments..., &error), error);
}

}  // namespace octavo
