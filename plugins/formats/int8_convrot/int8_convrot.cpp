// int8_convrot: INT8 rows of the rotated weight. The rotation spreads outliers over a group of columns; it is
// its own inverse, so that a loader undoes it by rotating the input.
#include "int8/entries.hpp"
#include "int8/recognise.hpp"

#include <octavo/format.hpp>

#include <algorithm>

namespace {

using namespace octavo;

constexpr std::int64_t kGroups[] = {256, 64, 16};

constexpr octavo_param kParams[] = {
    choice_param("group", "auto", "auto|256|64|16",
                 "Columns that are rotated together; auto takes the largest that divides the columns"),
};

class Int8ConvRot final : public Format {
 public:
  Int8ConvRot(const Host&, const Params& params) {
    const std::string group(params.choice("group"));
    if (group != "auto") group_ = std::stoll(group);
  }

  Placement grid(const octavo_layer& layer) const override {
    if (int8::is_empty(layer)) return int8::refuse_empty();
    const std::int64_t group = group_for(layer.cols);
    if (group == 0) return int8::fallback_to_rows(layer, misfit_text(layer.cols));
    Placement placement = int8::plain_rows(layer);
    placement.grid->basis = OCTAVO_BASIS_CONVROT;
    placement.grid->basis_group = group;
    if (group_ == 0 && group != kGroups[0]) {
      placement.note = "256 does not divide " + std::to_string(layer.cols) +
                       " columns: rotated in groups of " + std::to_string(group);
    }
    return placement;
  }
  std::vector<Entry> entries(const octavo_layer& layer, const octavo_grid& grid,
                             std::uint32_t flags) const override {
    return int8::layer_entries(layer, grid, flags);
  }
  void recognise(const HeaderView& header, const Recognition& recognition) const override {
    int8::recognise(header, int8::Layout::convrot, recognition);
  }

 private:
  // 0: no group divides the columns.
  std::int64_t group_for(std::int64_t cols) const {
    if (group_ != 0) return cols % group_ == 0 ? group_ : 0;
    const auto* const fit = std::find_if(std::begin(kGroups), std::end(kGroups),
                                         [&](std::int64_t group) { return cols % group == 0; });
    return fit == std::end(kGroups) ? 0 : *fit;
  }
  std::string misfit_text(std::int64_t cols) const {
    const std::string divisors = group_ != 0 ? std::to_string(group_) : "16";
    return divisors + " does not divide " + std::to_string(cols) + " columns: plain rows";
  }

  std::int64_t group_ = 0;  // 0: auto
};

}  // namespace

OCTAVO_FORMAT_PLUGIN(Int8ConvRot, {.id = "int8_convrot",
                                   .version = OCTAVO_PLUGIN_VERSION,
                                   .summary = "INT8 rows of the weight rotated in groups of columns",
                                   .params = kParams})
