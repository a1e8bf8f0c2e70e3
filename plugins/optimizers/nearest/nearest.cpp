// Nearest: every value goes to the closest code of the grid, ties to the even one. The yardstick of the
// others.
#include <octavo/optimizer.hpp>

namespace {

class Nearest final : public octavo::Optimizer {
 public:
  Nearest(const octavo::Host&, const octavo::Params&) {}

  void quantize(const octavo::OptimizerState*, octavo_lane& lane, const octavo_tile& tile,
                octavo_tile_result& result) const override {
    octavo_error error = octavo::empty_error();
    octavo::check(lane.operations->quantize_nearest(&lane, &tile, &result, &error), error);
  }
};

}  // namespace

OCTAVO_OPTIMIZER_PLUGIN(Nearest, {.id = "nearest",
                                  .version = OCTAVO_PLUGIN_VERSION,
                                  .summary = "Round half to even on the grid; scale = absmax / largest code"})
