// Rows that stand for a layer before it is quantized: what a held-out gate judges a method on.
#pragma once

#include <octavo/lane.hpp>
#include <octavo/optimizer.hpp>

#include <cstdint>
#include <vector>

namespace octavo::feedback {

// A fixed sample of a layer's rows (128, spread evenly; whole blocks where rows share scales; all rows where
// the basis couples them) as a tile that nearest has quantized, in the lane's memory. Values that are not
// finite count as 0.
class SampledTile {
 public:
  explicit SampledTile(const PrepareRequest& request);
  SampledTile(const SampledTile&) = delete;
  SampledTile& operator=(const SampledTile&) = delete;

  const octavo_tile& tile() const { return tile_; }

 private:
  LaneMatrix source_, codes_, scales_;
  octavo_tile tile_{};
};

}  // namespace octavo::feedback
