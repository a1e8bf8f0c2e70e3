// A backend on host memory with two operations: one answers wrongly, one fails. For the tests of `octavo
// doctor`.
#include <octavo/backend.hpp>

#include <cstdlib>
#include <cstring>

namespace {

using namespace octavo;

class WrongLane final : public BackendLane {
 public:
  void* allocate(octavo_memory, std::uint64_t bytes) override {
    return std::aligned_alloc(64, (bytes + 63) / 64 * 64);
  }
  void release(octavo_memory, void* data) override { std::free(data); }
  void copy(void* target, octavo_memory, const void* source, octavo_memory, std::uint64_t bytes) override {
    std::memcpy(target, source, bytes);
  }
  void absmax(const octavo_grid*, const octavo_tensor&, std::uint32_t,
              octavo_absmax_result& result) override {
    result.absmax = 42;
  }
  void gram(const octavo_tensor&, octavo_tensor&, bool) override {
    throw PluginError(OCTAVO_FAILED, "the sums are out of order");
  }
};

class WrongBackend final : public Backend {
 public:
  static constexpr LaneAdvice advice{1, 1};
  static constexpr std::uint32_t operations = 1u << OCTAVO_OP_ABSMAX | 1u << OCTAVO_OP_GRAM;

  WrongBackend(const Host&, const Params&) {}
  static ProbeResult probe(const Host&) { return {1, "everywhere", {}}; }

  std::unique_ptr<BackendLane> open_lane(const octavo_lane_request&) override {
    return std::make_unique<WrongLane>();
  }
  std::string unsupported(octavo_operation operation, const octavo_grid*,
                          std::span<const octavo_tensor>) const override {
    return (operations >> operation & 1u) != 0 ? "" : "not here";
  }
};

}  // namespace

OCTAVO_BACKEND_PLUGIN(WrongBackend, {.id = "wrong_backend",
                                     .version = OCTAVO_PLUGIN_VERSION,
                                     .summary = "Computes wrongly, for tests"})
