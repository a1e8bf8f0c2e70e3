// SPDX-License-Identifier: Apache-2.0
// Backends in C++: derive from octavo::Backend and BackendLane, write OCTAVO_BACKEND_PLUGIN.
//
// Operations are virtual functions of the lane. A backend lists in `operations` those that it has; the host
// uses its scalar reference for the others.
#pragma once

#include <octavo/abi/backend.h>
#include <octavo/grid.hpp>
#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace octavo {

// One worker's slice of a backend. Used by one thread at a time. Defaults suit a backend on host memory whose
// operations are done when they return.
class BackendLane {
 public:
  virtual ~BackendLane() = default;

  virtual octavo_memory memory() const { return OCTAVO_MEMORY_HOST; }
  virtual std::int32_t device() const { return -1; }
  virtual void* allocate(octavo_memory memory, std::uint64_t bytes) = 0;
  virtual void release(octavo_memory memory, void* data) = 0;
  virtual void copy(void* target, octavo_memory target_memory, const void* source,
                    octavo_memory source_memory, std::uint64_t bytes) = 0;
  virtual void record(std::uint32_t /*slot*/) {}
  virtual void wait(std::uint32_t /*slot*/) {}

  virtual void quantize_nearest(const octavo_tile&, octavo_tile_result&) { missing(); }
  virtual void absmax(const octavo_grid*, const octavo_tensor&, std::uint32_t, octavo_absmax_result&) {
    missing();
  }
  virtual void to_basis(const octavo_grid&, const octavo_tensor&, octavo_tensor&) { missing(); }
  virtual void from_basis(const octavo_grid&, const octavo_tensor&, octavo_tensor&) { missing(); }
  virtual void dequantize(const octavo_tile&, bool /*plain*/, octavo_tensor&) { missing(); }
  virtual void round_feedback(const octavo_feedback&) { missing(); }
  virtual void matmul(const octavo_matmul&) { missing(); }
  virtual void matmul_int8(const octavo_matmul_int8&) { missing(); }
  virtual void gram(const octavo_tensor&, octavo_tensor&, bool /*accumulate*/) { missing(); }
  virtual void error_sums(const octavo_tensor&, const octavo_tensor&, octavo_error_sums&) { missing(); }
  virtual void cast(const octavo_tensor&, octavo_tensor&, std::uint32_t, octavo_cast_result&) { missing(); }
  virtual void merge_low_rank(const octavo_tensor&, const octavo_tensor&, const octavo_tensor&, float,
                              octavo_tensor&) {
    missing();
  }
  virtual void row_metric(const octavo_tensor&, const octavo_tensor& /*pivots*/, octavo_tensor& /*metric*/) {
    missing();
  }

 private:
  [[noreturn]] static void missing() {
    throw PluginError(OCTAVO_UNSUPPORTED, "this backend does not have the operation");
  }
};

struct ProbeResult {
  std::uint32_t score = 0;  // 0: cannot run here; up to 1000
  std::string reason;
  std::vector<octavo_device> devices;
  bool absent = false;  // with score 0: what it would run on is not there, so that nobody need be warned
};

// What the host should open: lanes 0 means one for each CPU that the process may use.
struct LaneAdvice {
  std::uint32_t lanes = 0;
  std::uint32_t slots = 1;
};

// A derived class has a constructor (const Host&, const Params&), a static ProbeResult probe(const Host*),
// and static constexpr members: LaneAdvice advice, std::uint32_t operations (bit i: has octavo_operation i).
class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::unique_ptr<BackendLane> open_lane(const octavo_lane_request& request) = 0;
  // The reason why an operation cannot be done on these operands; "" if it can.
  virtual std::string unsupported(octavo_operation operation, const octavo_grid* grid,
                                  std::span<const octavo_tensor> operands) const = 0;
  // Brings up what the first lane of this device would wait for, while a run is planned; from any thread,
  // beside the other functions.
  virtual void warm_up(std::int32_t /*device*/) {}
};

namespace detail {

inline BackendLane& lane_of(octavo_lane* lane) { return *static_cast<BackendLane*>(lane->self); }

template <typename Plugin>
struct BackendTrampolines {
  static octavo_status probe(const octavo_host* host, octavo_probe* probe, octavo_error* error) noexcept {
    return guard(error, [&] {
      const ProbeResult made = Plugin::probe(Host(host));
      probe->score = made.score;
      copy_text(made.reason, probe->reason);
      probe->absent = made.absent ? 1 : 0;
      probe->device_count = static_cast<std::uint32_t>(
          made.devices.size() < OCTAVO_MAX_DEVICES ? made.devices.size() : OCTAVO_MAX_DEVICES);
      for (std::uint32_t i = 0; i < probe->device_count; ++i) probe->devices[i] = made.devices[i];
    });
  }
  static octavo_status open_lane(void* self, const octavo_lane_request* request, octavo_lane* lane,
                                 octavo_error* error) noexcept {
    return guard(error, [&] {
      std::unique_ptr<BackendLane> made = static_cast<Plugin*>(self)->open_lane(*request);
      if (made == nullptr) throw PluginError(OCTAVO_FAILED, "the backend made no lane");
      lane->memory = made->memory();
      lane->device = made->device();
      lane->operations = &operations;
      lane->self = made.release();
    });
  }
  static void close_lane(void*, octavo_lane* lane) noexcept {
    delete static_cast<BackendLane*>(lane->self);
    lane->self = nullptr;
  }
  static octavo_status allocate(octavo_lane* lane, std::uint32_t memory, std::uint64_t bytes, void** data,
                                octavo_error* error) noexcept {
    return guard(error, [&] { *data = lane_of(lane).allocate(static_cast<octavo_memory>(memory), bytes); });
  }
  static void release(octavo_lane* lane, std::uint32_t memory, void* data) noexcept {
    guard(nullptr, [&] { lane_of(lane).release(static_cast<octavo_memory>(memory), data); });
  }
  static octavo_status copy(octavo_lane* lane, void* target, std::uint32_t target_memory, const void* source,
                            std::uint32_t source_memory, std::uint64_t bytes, octavo_error* error) noexcept {
    return guard(error, [&] {
      lane_of(lane).copy(target, static_cast<octavo_memory>(target_memory), source,
                         static_cast<octavo_memory>(source_memory), bytes);
    });
  }
  static octavo_status record(octavo_lane* lane, std::uint32_t slot, octavo_error* error) noexcept {
    return guard(error, [&] { lane_of(lane).record(slot); });
  }
  static octavo_status wait(octavo_lane* lane, std::uint32_t slot, octavo_error* error) noexcept {
    return guard(error, [&] { lane_of(lane).wait(slot); });
  }
  static std::int32_t supports(void* self, std::uint32_t operation, const octavo_grid* grid,
                               const octavo_tensor* operands, std::uint64_t count, char* reason,
                               std::uint64_t reason_size) noexcept {
    std::string why = "the backend failed to answer";
    guard(nullptr, [&] {
      why = static_cast<const Plugin*>(self)->unsupported(static_cast<octavo_operation>(operation), grid,
                                                          {operands, count});
    });
    if (reason != nullptr && reason_size > 0) std::snprintf(reason, reason_size, "%s", why.c_str());
    return why.empty() ? 1 : 0;
  }

  static octavo_status quantize_nearest(octavo_lane* lane, const octavo_tile* tile,
                                        octavo_tile_result* result, octavo_error* error) noexcept {
    return guard(error, [&] { lane_of(lane).quantize_nearest(*tile, *result); });
  }
  static octavo_status absmax(octavo_lane* lane, const octavo_grid* grid, const octavo_tensor* source,
                              std::uint32_t flags, octavo_absmax_result* result,
                              octavo_error* error) noexcept {
    return guard(error, [&] { lane_of(lane).absmax(grid, *source, flags, *result); });
  }
  static octavo_status to_basis(octavo_lane* lane, const octavo_grid* grid, const octavo_tensor* source,
                                octavo_tensor* target, octavo_error* error) noexcept {
    return guard(error, [&] { lane_of(lane).to_basis(*grid, *source, *target); });
  }
  static octavo_status from_basis(octavo_lane* lane, const octavo_grid* grid, const octavo_tensor* source,
                                  octavo_tensor* target, octavo_error* error) noexcept {
    return guard(error, [&] { lane_of(lane).from_basis(*grid, *source, *target); });
  }
  static octavo_status dequantize(octavo_lane* lane, const octavo_tile* tile, std::uint32_t plain,
                                  octavo_tensor* target, octavo_error* error) noexcept {
    return guard(error, [&] { lane_of(lane).dequantize(*tile, plain != 0, *target); });
  }
  static octavo_status round_feedback(octavo_lane* lane, const octavo_feedback* feedback,
                                      octavo_error* error) noexcept {
    return guard(error, [&] { lane_of(lane).round_feedback(*feedback); });
  }
  static octavo_status matmul(octavo_lane* lane, const octavo_matmul* matmul, octavo_error* error) noexcept {
    return guard(error, [&] { lane_of(lane).matmul(*matmul); });
  }
  static octavo_status matmul_int8(octavo_lane* lane, const octavo_matmul_int8* matmul,
                                   octavo_error* error) noexcept {
    return guard(error, [&] { lane_of(lane).matmul_int8(*matmul); });
  }
  static octavo_status gram(octavo_lane* lane, const octavo_tensor* x, octavo_tensor* h,
                            std::uint32_t accumulate, octavo_error* error) noexcept {
    return guard(error, [&] { lane_of(lane).gram(*x, *h, accumulate != 0); });
  }
  static octavo_status error_sums(octavo_lane* lane, const octavo_tensor* a, const octavo_tensor* b,
                                  octavo_error_sums* sums, octavo_error* error) noexcept {
    return guard(error, [&] { lane_of(lane).error_sums(*a, *b, *sums); });
  }
  static octavo_status cast(octavo_lane* lane, const octavo_tensor* source, octavo_tensor* target,
                            std::uint32_t flags, octavo_cast_result* result, octavo_error* error) noexcept {
    return guard(error, [&] { lane_of(lane).cast(*source, *target, flags, *result); });
  }
  static octavo_status merge_low_rank(octavo_lane* lane, const octavo_tensor* source, const octavo_tensor* up,
                                      const octavo_tensor* down, float strength, octavo_tensor* target,
                                      octavo_error* error) noexcept {
    return guard(error, [&] { lane_of(lane).merge_low_rank(*source, *up, *down, strength, *target); });
  }
  static octavo_status row_metric(octavo_lane* lane, const octavo_tensor* x, const octavo_tensor* pivots,
                                  octavo_tensor* metric, octavo_error* error) noexcept {
    return guard(error, [&] { lane_of(lane).row_metric(*x, *pivots, *metric); });
  }

  static constexpr bool has(octavo_operation operation) {
    return ((Plugin::operations >> operation) & 1u) != 0;
  }

  static constexpr octavo_operations operations = {
      sizeof(octavo_operations),
      0,
      has(OCTAVO_OP_QUANTIZE_NEAREST) ? quantize_nearest : nullptr,
      has(OCTAVO_OP_ABSMAX) ? absmax : nullptr,
      has(OCTAVO_OP_TO_BASIS) ? to_basis : nullptr,
      has(OCTAVO_OP_FROM_BASIS) ? from_basis : nullptr,
      has(OCTAVO_OP_DEQUANTIZE) ? dequantize : nullptr,
      has(OCTAVO_OP_ROUND_FEEDBACK) ? round_feedback : nullptr,
      has(OCTAVO_OP_MATMUL) ? matmul : nullptr,
      has(OCTAVO_OP_MATMUL_INT8) ? matmul_int8 : nullptr,
      has(OCTAVO_OP_GRAM) ? gram : nullptr,
      has(OCTAVO_OP_ERROR_SUMS) ? error_sums : nullptr,
      has(OCTAVO_OP_CAST) ? cast : nullptr,
      has(OCTAVO_OP_MERGE_LOW_RANK) ? merge_low_rank : nullptr,
      has(OCTAVO_OP_ROW_METRIC) ? row_metric : nullptr};

  static octavo_status warm_up(void* self, std::int32_t device, octavo_error* error) noexcept {
    return guard(error, [&] { static_cast<Plugin*>(self)->warm_up(device); });
  }

  static constexpr octavo_backend_api api = {sizeof(octavo_backend_api),
                                             Plugin::advice.lanes,
                                             Plugin::advice.slots,
                                             0,
                                             create<Plugin>,
                                             destroy<Plugin>,
                                             open_lane,
                                             close_lane,
                                             allocate,
                                             release,
                                             copy,
                                             record,
                                             wait,
                                             supports,
                                             warm_up};
};

}  // namespace detail
}  // namespace octavo

#define OCTAVO_BACKEND_PLUGIN(CLASS, ...)                                                               \
  OCTAVO_DEFINE_PLUGIN(octavo::detail::descriptor(OCTAVO_KIND_BACKEND, octavo::Description __VA_ARGS__, \
                                                  &octavo::detail::BackendTrampolines<CLASS>::api,      \
                                                  octavo::detail::BackendTrampolines<CLASS>::probe))
