// int8_tensorwise: symmetric INT8 with one scale for each row, or for the whole layer.
#include "int8/entries.hpp"
#include "int8/recognise.hpp"

#include <octavo/format.hpp>

namespace {

using namespace octavo;

constexpr octavo_param kParams[] = {
    choice_param("scale", "row", "row|tensor", "One scale for each row, or one for the whole layer"),
};

class Int8Tensorwise final : public Format {
 public:
  Int8Tensorwise(const Host&, const Params& params) : per_tensor_(params.choice("scale") == "tensor") {}

  Placement grid(const octavo_layer& layer) const override {
    if (int8::is_empty(layer)) return int8::refuse_empty();
    Placement placement = int8::plain_rows(layer);
    if (per_tensor_) placement.grid = int8_grid(layer, scale_level(OCTAVO_PER_TENSOR));
    return placement;
  }
  std::vector<Entry> entries(const octavo_layer& layer, const octavo_grid& grid,
                             std::uint32_t flags) const override {
    return int8::layer_entries(layer, grid, flags);
  }
  void recognise(const HeaderView& header, const Recognition& recognition) const override {
    int8::recognise(header, int8::Layout::plain, recognition);
  }

 private:
  bool per_tensor_;
};

}  // namespace

OCTAVO_FORMAT_PLUGIN(Int8Tensorwise, {.id = "int8_tensorwise",
                                      .version = OCTAVO_PLUGIN_VERSION,
                                      .summary = "INT8, one scale for each row or for the layer",
                                      .params = kParams})
