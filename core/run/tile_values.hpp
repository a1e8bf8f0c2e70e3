// The values of a tile, as they were and as they are stored, for what is judged or corrected after the codes
// have been chosen.
#pragma once

#include "plugin/backend.hpp"

#include <octavo/abi/backend.h>

#include <vector>

namespace octavo::run {

// The tile by bands of rows, whose values take no more memory than 32 MiB twice: tiles of their own, with
// whole scales. The tile itself where its basis couples rows.
std::vector<octavo_tile> bands_of(const octavo_tile& tile);

// Memory of its own: two f32 matrices as large as the tile. Lives on its lane's thread, no longer than the
// lane, and until the lane's slot has been waited for.
class TileValues {
 public:
  // The tile's codes are final. Its source is widened and its codes are dequantized to the plain basis, in
  // the lane's order.
  TileValues(plugin::Lane& lane, const octavo_tile& tile);
  TileValues(const TileValues&) = delete;
  TileValues& operator=(const TileValues&) = delete;

  const octavo_tensor& source() const { return source_; }  // f32 [rows, cols] in the lane's memory
  const octavo_tensor& stored() const { return stored_; }  // the same

  // Their sums of errors and of squares, once the lane's slot has been waited for.
  void sum_errors(octavo_error_sums& sums);

 private:
  void place_layer_scales(const octavo_tile& tile);

  plugin::Lane& lane_;
  plugin::LaneMemory memory_;
  octavo_tensor source_{};
  octavo_tensor stored_{};
  float layer_scales_[2] = {};
  octavo_cast_result cast_{};  // written by the lane
};

// Replaces the error sums of a result by those of what the tile stores. Waits for the lane.
void measure(plugin::Lane& lane, const octavo_tile& tile, octavo_tile_result& result);

}  // namespace octavo::run
