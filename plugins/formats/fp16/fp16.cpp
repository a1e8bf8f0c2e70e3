// fp16: the weight itself, converted to F16. No scale and no marker, so there is nothing to recognise: such a
// layer is a plain float tensor.
#include <octavo/format.hpp>

namespace {

using namespace octavo;

class Fp16 final : public Format {
 public:
  Fp16(const Host&, const Params&) {}

  Placement grid(const octavo_layer& layer) const override {
    if (layer.rows < 1 || layer.cols < 1) return {std::nullopt, {}, "the layer has no elements"};
    return {cast_grid(layer, OCTAVO_F16), {}, {}};
  }
  std::vector<Entry> entries(const octavo_layer& layer, const octavo_grid& grid,
                             std::uint32_t) const override {
    return {{OCTAVO_ROLE_CODES, layer.key, OCTAVO_F16, {grid.rows, grid.cols}}};
  }
  void recognise(const HeaderView&, const Recognition&) const override {}
};

}  // namespace

OCTAVO_FORMAT_PLUGIN(Fp16, {.id = "fp16",
                            .version = OCTAVO_PLUGIN_VERSION,
                            .summary = "Half precision floats, no scales"})
