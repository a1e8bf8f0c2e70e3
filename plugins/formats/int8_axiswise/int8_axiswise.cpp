// int8_axiswise: INT8 rows whose scales are stored as a vector.
#include "int8/entries.hpp"
#include "int8/recognise.hpp"

#include <octavo/format.hpp>

namespace {

using namespace octavo;

class Int8Axiswise final : public Format {
 public:
  Int8Axiswise(const Host&, const Params&) {}

  Placement grid(const octavo_layer& layer) const override {
    if (int8::is_empty(layer)) return int8::refuse_empty();
    Placement placement = int8::plain_rows(layer);
    placement.stored_as = int8::kAxiswise;
    return placement;
  }
  std::vector<Entry> entries(const octavo_layer& layer, const octavo_grid& grid,
                             std::uint32_t flags) const override {
    return int8::layer_entries(layer, grid, flags, int8::kAxiswise, {grid.rows});
  }
  void recognise(const HeaderView& header, const Recognition& recognition) const override {
    int8::recognise(header, int8::Layout::axiswise, recognition);
  }
};

}  // namespace

OCTAVO_FORMAT_PLUGIN(Int8Axiswise, {.id = "int8_axiswise",
                                    .version = OCTAVO_PLUGIN_VERSION,
                                    .summary = "INT8, one scale for each row, stored as a vector"})
