// An optimizer that stores what nearest stores and, with `log`, says which rows it was given.
//
// quantize() is called for one band of rows (a tile) after another, from several threads at once, each with a
// lane of its own. The tile's views lie in the lane's memory, which may be a GPU's: so work on them with the
// lane's operations, which are there for every backend, and read results after the host has waited for the
// slot.
#include <octavo/optimizer.hpp>

#include <array>
#include <string>

namespace {

constexpr std::array kParams = {
    octavo::bool_param("log", "false", "Log every tile"),
};

class ExampleNearest final : public octavo::Optimizer {
 public:
  // What the format must be unless the user says otherwise; leave it out for the host's default.
  static constexpr const char* default_format = "";

  ExampleNearest(const octavo::Host& host, const octavo::Params& params)
      : host_(host), log_(params.flag("log")) {}

  // Rows are independent (the default). An optimizer that needs the whole layer or its inputs says so here.
  std::uint32_t wants(const octavo_layer&, const octavo_grid&, bool) const override {
    return OCTAVO_WANTS_ROWS;
  }

  void quantize(const octavo::OptimizerState*, octavo_lane& lane, const octavo_tile& tile,
                octavo_tile_result& result) const override {
    if (log_) {
      host_.log(OCTAVO_LOG_INFO, std::string("example_nearest: ") + tile.layer->name + ", rows from " +
                                     std::to_string(tile.row_begin));
    }
    // Nothing is said of single rows. quantize_nearest would fill both metrics with nearest's own, and the
    // host takes a row that is no better than nearest for one that it has to store again: leave the two
    // pointers as they are only where row_metric is your method's.
    result.row_metric = nullptr;
    result.row_nearest_metric = nullptr;
    octavo_error error = octavo::empty_error();
    octavo::check(lane.operations->quantize_nearest(&lane, &tile, &result, &error), error);
  }

 private:
  octavo::Host host_;
  bool log_;
};

}  // namespace

OCTAVO_OPTIMIZER_PLUGIN(ExampleNearest, {.id = "example_nearest",
                                         .version = OCTAVO_PLUGIN_VERSION,
                                         .summary = "Nearest through the lane's operation (an example)",
                                         .params = kParams})
