// A backend plugin in use: probing it, its lanes, their memory.
#pragma once

#include "plugin/instance.hpp"

#include <octavo/abi/backend.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace octavo::plugin {

struct Device {
  std::int32_t index = 0;
  std::string name;
  std::uint64_t memory_bytes = 0;  // 0: the machine's own memory
};

struct Probe {
  std::uint32_t score = 0;  // 0: cannot run here; at most 1000
  std::string reason;
  std::vector<Device> devices;
  bool absent = false;  // with score 0: what it would run on is not there
};

// Asks a plugin of any kind whether it can work here. One that has no probe answers 1; one that fails answers
// 0 with the failure as the reason. Throws nothing of the plugin's.
Probe probe(const octavo_plugin& plugin, const octavo_host* host);

class Backend;

// Memory of a lane, given back with the handle, which must not outlive the lane.
class LaneMemory {
 public:
  LaneMemory() = default;
  void* data() const { return data_.get(); }
  std::uint64_t bytes() const { return bytes_; }

 private:
  friend class Lane;
  std::uint64_t bytes_ = 0;
  std::unique_ptr<void, std::function<void(void*)>> data_;
};

// One worker's slice of a backend, closed with the handle. Used by one thread at a time; must not outlive the
// backend. Where the backend has no operation, the lane's table has the reference (host memory) or one that
// answers OCTAVO_UNSUPPORTED (device memory): no entry is ever null.
class Lane {
 public:
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;
  Lane(Lane&&) noexcept = default;
  Lane& operator=(Lane&&) noexcept = default;
  ~Lane() = default;

  // As it is handed to operations and optimizers; its address stays the same when the handle is moved.
  octavo_lane& raw() const { return state_->lane; }
  const octavo_operations& operations() const { return state_->operations; }
  bool on_host() const { return state_->lane.memory != OCTAVO_MEMORY_DEVICE; }

  // 64-byte aligned. Throws Error resources where there is no memory left.
  LaneMemory allocate(octavo_memory memory, std::uint64_t bytes);
  void copy(void* target, octavo_memory target_memory, const void* source, octavo_memory source_memory,
            std::uint64_t bytes);
  void record(std::uint32_t slot);
  // Throws Error with the first failure of the slot's work.
  void wait(std::uint32_t slot);

  // Issues one operation of the table: run("absmax", [&](auto& op, auto* lane, auto* error) { return
  // op.absmax(lane,
  // ..., error); }). Throws Error for a status other than OCTAVO_OK.
  template <typename Body>
  void run(std::string_view operation, Body&& body) {
    call(state_->who, operation,
         [&](octavo_error* error) { return body(state_->operations, &state_->lane, error); });
  }

 private:
  friend class Backend;
  struct State {
    State() = default;
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State();  // closes the lane if it was opened

    std::string who;
    const octavo_backend_api* api = nullptr;
    void* backend = nullptr;
    bool open = false;
    octavo_lane lane{};
    octavo_operations operations{};
  };
  explicit Lane(std::unique_ptr<State> state) : state_(std::move(state)) {}

  std::unique_ptr<State> state_;
};

// Members may be called from any thread.
class Backend {
 public:
  // `host` gives the reference operations.
  Backend(const octavo_plugin& plugin, const octavo_host* host, const Values& values)
      : instance_(plugin, host, values), host_(host) {}

  const std::string& id() const { return instance_.who(); }
  std::uint32_t suggested_lanes() const { return instance_.api().lanes; }  // 0: one for each CPU
  std::uint32_t suggested_slots() const { return instance_.api().slots == 0 ? 1 : instance_.api().slots; }
  Lane open_lane(const octavo_lane_request& request, bool primary = true) const;
  // "" if the backend's own operation works on these operands, else the reason why not. `grid` may be
  // nullptr.
  std::string unsupported(octavo_operation operation, const octavo_grid* grid,
                          std::span<const octavo_tensor> operands) const;
  // Brings up what the first lane of the device would wait for, if the backend can.
  void warm_up(std::int32_t device) const;

 private:
  Instance<octavo_backend_api> instance_;
  const octavo_host* host_;
};

}  // namespace octavo::plugin
