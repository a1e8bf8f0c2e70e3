// Nearest: every value goes to the closest code of the grid, ties to the even one. The yardstick of the
// others.
#include "scale_search/scale_search.hpp"

#include <octavo/optimizer.hpp>

namespace {

using namespace octavo;

constexpr octavo_param kParams[] = {scale_search::kParameter};

class Nearest final : public Optimizer {
 public:
  Nearest(const Host&, const Params& params) : candidates_(params.integer("scale_search")) {}

  void quantize(const OptimizerState*, octavo_lane& lane, const octavo_tile& tile,
                octavo_tile_result& result) const override {
    if (candidates_ > 0 && scale_search::applies_to(*tile.grid)) {
      scale_search::quantize(lane, tile, result, candidates_);
    } else {
      issue(lane, &octavo_operations::quantize_nearest, &tile, &result);
    }
  }

 private:
  std::int64_t candidates_;
};

}  // namespace

OCTAVO_OPTIMIZER_PLUGIN(Nearest, {.id = "nearest",
                                  .version = OCTAVO_PLUGIN_VERSION,
                                  .summary = "Round half to even on the grid; scale = absmax / largest code",
                                  .params = kParams})
