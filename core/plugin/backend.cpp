#include "plugin/backend.hpp"

#include "plugin/fault.hpp"
#include "plugin/versions.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <utility>

namespace octavo::plugin {
namespace {

octavo_status report_missing(octavo_error* error, const char* operation) {
  char message[128];
  std::snprintf(message, sizeof message, "the backend has no %s, and the reference works on host memory only",
                operation);
  return report(error, OCTAVO_UNSUPPORTED, message);
}

octavo_error* error_of(octavo_error* error) { return error; }
template <typename First, typename... Rest>
octavo_error* error_of(First, Rest... rest) {
  return error_of(rest...);
}

// For each member of octavo_operations a function of the same type that answers OCTAVO_UNSUPPORTED.
template <octavo_operation Operation, typename... Arguments>
struct Missing {
  static constexpr const char* names[OCTAVO_OP_COUNT] = {
      "quantize_nearest", "absmax", "to_basis",   "from_basis", "dequantize",     "round_feedback", "matmul",
      "matmul_int8",      "gram",   "error_sums", "cast",       "merge_low_rank", "row_metric"};
  static octavo_status answer(Arguments... arguments) {
    return report_missing(error_of(arguments...), names[Operation]);
  }
};

template <octavo_operation Operation, typename... Arguments>
void complete(octavo_status (*&entry)(Arguments...), octavo_status (*reference)(Arguments...)) {
  if (entry == nullptr) entry = reference;
  if (entry == nullptr) entry = Missing<Operation, Arguments...>::answer;
}

// Puts `reference` where `table` has nothing.
void complete(octavo_operations& table, const octavo_operations& reference) {
  complete<OCTAVO_OP_QUANTIZE_NEAREST>(table.quantize_nearest, reference.quantize_nearest);
  complete<OCTAVO_OP_ABSMAX>(table.absmax, reference.absmax);
  complete<OCTAVO_OP_TO_BASIS>(table.to_basis, reference.to_basis);
  complete<OCTAVO_OP_FROM_BASIS>(table.from_basis, reference.from_basis);
  complete<OCTAVO_OP_DEQUANTIZE>(table.dequantize, reference.dequantize);
  complete<OCTAVO_OP_ROUND_FEEDBACK>(table.round_feedback, reference.round_feedback);
  complete<OCTAVO_OP_MATMUL>(table.matmul, reference.matmul);
  complete<OCTAVO_OP_MATMUL_INT8>(table.matmul_int8, reference.matmul_int8);
  complete<OCTAVO_OP_GRAM>(table.gram, reference.gram);
  complete<OCTAVO_OP_ERROR_SUMS>(table.error_sums, reference.error_sums);
  complete<OCTAVO_OP_CAST>(table.cast, reference.cast);
  complete<OCTAVO_OP_MERGE_LOW_RANK>(table.merge_low_rank, reference.merge_low_rank);
  complete<OCTAVO_OP_ROW_METRIC>(table.row_metric, reference.row_metric);
}

Probe read_probe(const octavo_probe& raw) {
  Probe made{std::min(raw.score, 1000u), text_of(raw.reason), {}, raw.absent != 0};
  for (std::uint32_t i = 0; i < std::min<std::uint32_t>(raw.device_count, OCTAVO_MAX_DEVICES); ++i) {
    const octavo_device& device = raw.devices[i];
    made.devices.push_back({device.index, text_of(device.name), device.memory_bytes});
  }
  return made;
}

}  // namespace

Probe probe(const octavo_plugin& plugin, const octavo_host* host) {
  if (plugin.probe == nullptr) return {1, "always", {}};
  octavo_probe raw{};
  raw.struct_size = sizeof raw;
  for (octavo_device& device : raw.devices) device.struct_size = sizeof device;
  try {
    call(plugin.id, "probe", [&](octavo_error* error) { return plugin.probe(host, &raw, error); });
  } catch (const Error& error) {
    return {0, error.what(), {}};
  }
  return read_probe(raw);
}

Lane::State::~State() {
  if (!open) return;
  try {
    contain(who, "close_lane", [&] { api->close_lane(backend, &lane); });
  } catch (...) {  // a destructor has nobody to tell
  }
}

LaneMemory Lane::allocate(octavo_memory memory, std::uint64_t bytes) {
  void* data = nullptr;
  const auto wanted = static_cast<std::uint32_t>(memory);
  call(state_->who, "allocate", [&](octavo_error* error) {
    return state_->api->allocate(&state_->lane, wanted, bytes, &data, error);
  });
  if (data == nullptr && bytes != 0)
    throw_fault(state_->who, "allocate", "the plugin answers with a null pointer");
  LaneMemory made;
  made.bytes_ = bytes;
  made.data_ = {data, [state = state_.get(), wanted](void* released) {
                  try {
                    contain(state->who, "release",
                            [&] { state->api->release(&state->lane, wanted, released); });
                  } catch (...) {  // called from destructors
                  }
                }};
  return made;
}

void Lane::copy(void* target, octavo_memory target_memory, const void* source, octavo_memory source_memory,
                std::uint64_t bytes) {
  call(state_->who, "copy", [&](octavo_error* error) {
    return state_->api->copy(&state_->lane, target, static_cast<std::uint32_t>(target_memory), source,
                             static_cast<std::uint32_t>(source_memory), bytes, error);
  });
}

void Lane::record(std::uint32_t slot) {
  call(state_->who, "record",
       [&](octavo_error* error) { return state_->api->record(&state_->lane, slot, error); });
}

void Lane::wait(std::uint32_t slot) {
  call(state_->who, "wait",
       [&](octavo_error* error) { return state_->api->wait(&state_->lane, slot, error); });
}

Lane Backend::open_lane(const octavo_lane_request& request, bool primary) const {
  auto state = std::make_unique<Lane::State>();
  state->who = id();
  state->api = &instance_.api();
  state->backend = instance_.self();
  octavo_lane& lane = state->lane;
  lane.struct_size = sizeof lane;
  lane.index = request.index;
  lane.device = request.device;
  lane.primary = primary ? 1 : 0;
  lane.host = host_;
  lane.backend = &instance_.api();
  call(id(), "open_lane", [&](octavo_error* error) {
    return instance_.api().open_lane(instance_.self(), &request, &lane, error);
  });
  state->open = true;  // from here on it is closed whatever happens
  Lane opened(std::move(state));
  const octavo_operations* own = lane.operations;
  constexpr std::size_t kFirstSize = OCTAVO_FIRST_SIZE(octavo_operations, row_metric);
  if (own != nullptr && own->struct_size < kFirstSize) {
    throw Error(
        ErrorCode::unsupported,
        fmt::format(
            "[{}: open_lane] the table of operations has {} bytes, version 1.0 of the boundary has {}", id(),
            own->struct_size, kFirstSize));
  }
  octavo_operations& table = opened.state_->operations;
  if (own != nullptr) table = known_part(*own);
  table.struct_size = sizeof table;
  static constexpr octavo_operations kNone{};
  complete(table, lane.memory == OCTAVO_MEMORY_DEVICE ? kNone : *host_->reference);
  lane.operations = &table;
  return opened;
}

std::string Backend::unsupported(octavo_operation operation, const octavo_grid* grid,
                                 std::span<const octavo_tensor> operands) const {
  char reason[512] = {};
  const bool yes = contain(id(), "supports", [&] {
    return instance_.api().supports(instance_.self(), static_cast<std::uint32_t>(operation), grid,
                                    operands.data(), operands.size(), reason, sizeof reason) != 0;
  });
  if (yes) return {};
  const std::string text = text_of(reason);
  return text.empty() ? "the backend does not say why" : text;
}

void Backend::warm_up(std::int32_t device) const {
  const octavo_backend_api& api = instance_.api();
  if (!OCTAVO_HAS(&api, octavo_backend_api, warm_up) || api.warm_up == nullptr) return;
  call(id(), "warm_up", [&](octavo_error* error) { return api.warm_up(instance_.self(), device, error); });
}

}  // namespace octavo::plugin
