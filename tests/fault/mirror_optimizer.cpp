// An optimizer that takes whole layers, or prepares for them, and stores nearest's codes with their sign
// changed, for devices whose memory is one in name only. With `loses` it says of every row that nearest is
// better, so that the host has to bring the layer out and send all of it back.
#include <octavo/optimizer.hpp>

#include <array>

namespace {

constexpr std::array kParams = {
    octavo::choice_param("comes", "whole", "whole|prepared", "What it wants of the host"),
    octavo::bool_param("loses", "false", "Say that every row is worse than nearest"),
};

class Mirror final : public octavo::Optimizer {
 public:
  Mirror(const octavo::Host&, const octavo::Params& params)
      : wants_(params.choice("comes") == "whole" ? OCTAVO_WANTS_WHOLE_LAYER
                                                 : OCTAVO_WANTS_ROWS | OCTAVO_WANTS_PREPARE),
        loses_(params.flag("loses")) {}

  std::uint32_t wants(const octavo_layer&, const octavo_grid&, bool) const override { return wants_; }

  void quantize(const octavo::OptimizerState*, octavo_lane& lane, const octavo_tile& tile,
                octavo_tile_result& result) const override {
    octavo_error error = octavo::empty_error();
    octavo::check(lane.operations->quantize_nearest(&lane, &tile, &result, &error), error);
    for (std::int64_t row = 0; row < tile.codes.shape[0]; ++row) {
      auto* codes = octavo::row_of<std::int8_t>(tile.codes, row);
      for (std::int64_t col = 0; col < tile.codes.shape[1]; ++col)
        codes[col] = static_cast<std::int8_t>(-codes[col]);
      result.row_metric[row] = loses_ ? 2 : 1;
      result.row_nearest_metric[row] = loses_ ? 1 : 2;
    }
  }

 private:
  std::uint32_t wants_;
  bool loses_;
};

}  // namespace

OCTAVO_OPTIMIZER_PLUGIN(Mirror, {.id = "mirror",
                                 .version = OCTAVO_PLUGIN_VERSION,
                                 .summary = "Nearest's codes with their sign changed",
                                 .params = kParams})
