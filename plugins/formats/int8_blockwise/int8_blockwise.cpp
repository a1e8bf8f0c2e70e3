// int8_blockwise: INT8 with one scale for each square block.
#include "int8/entries.hpp"
#include "int8/recognise.hpp"

#include <octavo/format.hpp>

namespace {

using namespace octavo;

constexpr octavo_param kParams[] = {
    integer_param("block_size", "128", 16, 1024, "Rows and columns of a block"),
};

class Int8Blockwise final : public Format {
 public:
  Int8Blockwise(const Host&, const Params& params) : edge_(params.integer("block_size")) {}

  Placement grid(const octavo_layer& layer) const override {
    if (int8::is_empty(layer)) return int8::refuse_empty();
    const bool rows_fit = layer.rows % edge_ == 0;
    if (!rows_fit || layer.cols % edge_ != 0) {
      const std::string what =
          rows_fit ? std::to_string(layer.cols) + " columns" : std::to_string(layer.rows) + " rows";
      return int8::fallback_to_rows(layer, std::to_string(edge_) + " does not divide " + what);
    }
    return {int8_grid(layer, scale_level(OCTAVO_PER_BLOCK, edge_, edge_)), int8::kBlockwise, {}};
  }
  std::vector<Entry> entries(const octavo_layer& layer, const octavo_grid& grid,
                             std::uint32_t flags) const override {
    return int8::layer_entries(layer, grid, flags);
  }
  void recognise(const HeaderView& header, const Recognition& recognition) const override {
    int8::recognise(header, int8::Layout::blockwise, recognition);
  }

 private:
  std::int64_t edge_;
};

}  // namespace

OCTAVO_FORMAT_PLUGIN(Int8Blockwise, {.id = "int8_blockwise",
                                     .version = OCTAVO_PLUGIN_VERSION,
                                     .summary = "INT8, one scale for each square block",
                                     .params = kParams})
