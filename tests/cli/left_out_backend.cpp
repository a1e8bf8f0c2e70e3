// A backend that cannot work here: because its hardware is not there, or because it is and cannot be used
// (LEFT_OUT_ABSENT). For the tests of what is said about such backends.
#include <octavo/backend.hpp>

namespace {

using namespace octavo;

class LeftOutBackend final : public Backend {
 public:
  static constexpr LaneAdvice advice{1, 1};
  static constexpr std::uint32_t operations = 0;

  LeftOutBackend(const Host&, const Params&) {}
  static ProbeResult probe(const Host&) { return {0, LEFT_OUT_REASON, {}, LEFT_OUT_ABSENT}; }

  std::unique_ptr<BackendLane> open_lane(const octavo_lane_request&) override {
    throw PluginError(OCTAVO_FAILED, "there is nothing to open");
  }
  std::string unsupported(octavo_operation, const octavo_grid*,
                          std::span<const octavo_tensor>) const override {
    return "not here";
  }
};

}  // namespace

OCTAVO_BACKEND_PLUGIN(LeftOutBackend, {.id = LEFT_OUT_ID,
                                       .version = OCTAVO_PLUGIN_VERSION,
                                       .summary = "Cannot work, for tests"})
