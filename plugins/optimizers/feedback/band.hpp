// One tile brought to the factor's terms: its weight in the grid's basis and in the order of the factor's
// columns, with the scales that nearest has for it.
#pragma once

#include "feedback/ldlq.hpp"

#include <octavo/abi/grid.h>
#include <octavo/lane.hpp>

#include <cstdint>
#include <optional>
#include <vector>

namespace octavo::feedback {

// Owns what a Band refers to. The scales are those that nearest has chosen: they are fixed before, so that
// codes of both stand on the same grid (a larger scale, with room for what feedback adds, clips nothing less
// of note: 0.01 codes a row are clipped, and 0.5 % more scale costs 0.03 dB).
class BandMemory {
 public:
  // `tile` has been quantized to nearest: its scales are read. `order`: of the columns, empty as they are
  // (only on host lanes otherwise). Both outlive it.
  BandMemory(octavo_lane& lane, const octavo_tile& tile, const std::vector<std::int64_t>& order);

  // Its residual takes the place of its weight.
  const Band& band() const { return *band_; }
  // The weight with its columns as in the layer, f32 [rows, cols], until something was rounded.
  const octavo_tensor& weight() const { return weight_.view(); }
  // Brings the weight back.
  void begin_again(octavo_lane& lane);
  // Puts the codes into the tile, in the layer's order of columns.
  void store_codes(const octavo_tile& tile) const;

 private:
  void spread_scales(octavo_lane& lane);

  const octavo_tile& tile_;
  const std::vector<std::int64_t>& order_;
  octavo_grid grid_;
  LaneMatrix weight_, ordered_, codes_, own_scales_;
  octavo_tensor scales_{};
  std::optional<Band> band_;
};

}  // namespace octavo::feedback
