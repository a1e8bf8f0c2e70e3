// Rows of a layer as learned rounding sees them: in the grid's basis, in steps of the grid.
//
// Scales are fixed where nearest puts them. They are kept in units of the layer's largest scale (its power of
// two), so that squares neither overflow nor vanish whatever the weights' size: objectives are in the square
// of `unit`.
#pragma once

#include "work.hpp"

#include <octavo/abi/grid.h>

#include <cstdint>
#include <vector>

namespace octavo::descent {

struct Band {
  std::int64_t begin;  // first row, within the tile
  at::Tensor weights;  // f32 [rows, cols]: weight / scale
  at::Tensor scales;   // f32, [1 or rows, 1 or cols]: scale / unit
  at::Tensor steps;  // f32: the same, but 0 where the scale is its floor: all weights are 0 there, or nearly
  at::Tensor codes;  // i8 [rows, cols], a part of GridTile::codes()

  std::int64_t rows() const { return weights.size(0); }
  // (stored - weight) / unit.
  at::Tensor errors() const { return codes.sub(weights).mul_(scales); }
};

// A tile that nearest has quantized, on the device that LibTorch uses for the lane.
class GridTile {
 public:
  // Takes nearest's codes and scales from the tile. Throws PluginError OCTAVO_UNSUPPORTED for a grid that is
  // not of integers with one level of scales.
  GridTile(const Work& work, const octavo_tile& tile);

  std::int64_t rows() const { return codes_.size(0); }
  std::int64_t cols() const { return codes_.size(1); }
  double unit() const { return unit_; }
  std::int32_t least_code() const { return tile_->grid->qmin; }
  std::int32_t largest_code() const { return tile_->grid->qmax; }

  // i8 [rows, cols]: nearest's at first, then what bands change them to.
  const at::Tensor& codes() const { return codes_; }
  // nearest's codes again; those of a view in the lane's memory.
  void reset_codes();
  void take_codes(const octavo_tensor& codes);
  // The weight in the grid's basis / unit, f32 [rows, cols]; takes memory of its own until release_values().
  const at::Tensor& values() const { return values_; }
  // weight - stored, and the scales of the grid's level: f32, in the weights' own unit.
  at::Tensor residual() const;
  at::Tensor scales() const { return scales_.mul(unit_); }
  // All rows in bands that fit a core's cache (one band on a GPU); every band has rows of one row of blocks
  // only.
  std::vector<Band> bands() const;
  void release_values() { values_ = at::Tensor(); }

  // Writes the codes into the tile, and the sums over their errors into `result`.
  void store(octavo_tile_result& result);

 private:
  struct Range {
    std::int64_t begin;
    std::int64_t count;
  };
  std::vector<Range> ranges() const;
  at::Tensor spread_scales(const Range& range) const;

  const Work& work_;
  const octavo_tile* tile_;
  double unit_ = 1;
  at::Tensor values_;   // f32 [rows, cols]
  at::Tensor scales_;   // f32, as the grid's level has them, / unit
  at::Tensor codes_;    // i8
  at::Tensor weights_;  // f32 [rows, cols]: values / scales
};

}  // namespace octavo::descent
