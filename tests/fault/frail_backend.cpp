// A backend that works like one on a GPU (memory of its own, in name only; results when they are waited for)
// and fails on request. There are two devices of it. The reference does its arithmetic.
#include <octavo/backend.hpp>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <limits>

namespace {

using namespace octavo;

constexpr octavo_param kParams[] = {
    integer_param("lost_after", "0", 0, 1e9, "Operations after which the device is lost; 0: never"),
    integer_param("lanes", "64", 0, 64, "Lanes that there is memory for"),
    integer_param("memory_on", "-1", -1, 1, "The device that has memory for lanes; -1: both"),
    integer_param("most_rows", "0", 0, 1e9, "Rows of the largest tile that there is memory for; 0: any"),
};

// The device: what its lanes share.
struct Device {
  std::int64_t lost_after;
  std::int64_t most_rows;
  std::atomic<std::int64_t> lanes_left;
  std::atomic<std::int64_t> operations{0};

  bool lost() const { return lost_after != 0 && operations >= lost_after; }
  void check() const {
    if (lost()) throw PluginError(OCTAVO_DEVICE_LOST, "the device fell off the bus");
  }
};

// A view as the reference takes it.
octavo_tensor on_host(octavo_tensor view) {
  view.memory = OCTAVO_MEMORY_HOST;
  return view;
}

class FrailLane final : public BackendLane {
 public:
  FrailLane(Device& device, std::int32_t index, const octavo_operations& reference)
      : device_(device), index_(index), reference_(reference) {}

  octavo_memory memory() const override { return OCTAVO_MEMORY_DEVICE; }
  std::int32_t device() const override { return index_; }
  void* allocate(octavo_memory, std::uint64_t bytes) override {
    device_.check();
    return std::aligned_alloc(64, (bytes + 64) / 64 * 64);
  }
  void release(octavo_memory, void* data) override { std::free(data); }
  void copy(void* target, octavo_memory, const void* source, octavo_memory, std::uint64_t bytes) override {
    device_.check();
    std::memcpy(target, source, bytes);
  }
  void record(std::uint32_t) override { device_.check(); }
  void wait(std::uint32_t) override { device_.check(); }

  void quantize_nearest(const octavo_tile& tile, octavo_tile_result& result) override {
    count(tile.source);
    octavo_tile copied = tile;
    for (octavo_tensor* view : {&copied.source, &copied.codes, &copied.scales[0], &copied.scales[1],
                                &copied.zero_points, &copied.bias_delta})
      *view = on_host(*view);
    octavo_error error = empty_error();
    check(reference_.quantize_nearest(nullptr, &copied, &result, &error), error);
  }
  void absmax(const octavo_grid* grid, const octavo_tensor& source, std::uint32_t flags,
              octavo_absmax_result& result) override {
    count(source);
    const octavo_tensor copied = on_host(source);
    octavo_error error = empty_error();
    check(reference_.absmax(nullptr, grid, &copied, flags, &result, &error), error);
  }

 private:
  void count(const octavo_tensor& source) {
    ++device_.operations;
    device_.check();
    if (device_.most_rows != 0 && source.shape[0] > device_.most_rows)
      throw PluginError(OCTAVO_NO_MEMORY, "the tile does not fit");
  }

  Device& device_;
  const std::int32_t index_;
  const octavo_operations& reference_;
};

octavo_device device_of(std::int32_t index) {
  octavo_device device{};
  device.struct_size = sizeof device;
  device.index = index;
  copy_text("frail", device.name);
  device.memory_bytes = std::uint64_t{1} << 30;
  return device;
}

class FrailBackend final : public Backend {
 public:
  static constexpr LaneAdvice advice{4, 2};
  static constexpr std::uint32_t operations = 1u << OCTAVO_OP_QUANTIZE_NEAREST | 1u << OCTAVO_OP_ABSMAX;
  static ProbeResult probe(const Host&) { return {1000, "everywhere", {device_of(0), device_of(1)}}; }

  FrailBackend(const Host& host, const Params& params)
      : device_{params.integer("lost_after"), params.integer("most_rows"), params.integer("lanes")},
        memory_on_(params.integer("memory_on")),
        reference_(host.reference()) {}

  std::unique_ptr<BackendLane> open_lane(const octavo_lane_request& request) override {
    device_.check();
    const bool has_memory = memory_on_ < 0 || memory_on_ == request.device;
    if (!has_memory || device_.lanes_left-- <= 0)
      throw PluginError(OCTAVO_NO_MEMORY, "no memory for another lane");
    return std::make_unique<FrailLane>(device_, request.device, reference_);
  }
  std::string unsupported(octavo_operation operation, const octavo_grid*,
                          std::span<const octavo_tensor>) const override {
    return (operations >> operation & 1) != 0 ? "" : "not here";
  }

 private:
  Device device_;
  const std::int64_t memory_on_;
  const octavo_operations& reference_;
};

}  // namespace

OCTAVO_BACKEND_PLUGIN(FrailBackend, {.id = "frail",
                                     .version = OCTAVO_PLUGIN_VERSION,
                                     .summary = "Fails on request",
                                     .params = kParams})
