// The gate: a row in which an optimizer is no better than nearest, by its own metric, is stored as nearest.
//
// Rows whose scales are the optimizer's own go back with their scale. Where rows share a scale (a block
// grid), and the optimizer chose another one than nearest, all rows of a block go back or none, by their sum;
// a basis that couples rows makes one decision for the tile.
#pragma once

#include "plan/plan.hpp"
#include "plugin/backend.hpp"
#include "run/slot.hpp"

#include <octavo/abi/grid.h>

#include <cstdint>
#include <vector>

namespace octavo::run {

// What an optimizer says about the rows of a tile: its metric and nearest's, lower is better. NaN where it
// says nothing.
struct RowMetrics {
  std::vector<double> own;
  std::vector<double> nearest;

  void expect(int64_t rows, octavo_tile_result& result);  // prepares both, and has the result point to them
  // The optimizer compared the row and is not better.
  bool is_lost(size_t row) const;
  bool any_lost() const;
};

// The tile has been waited for and its parts are in the slot's host memory, where the rows that go back are
// replaced; `result` gets the errors of what is then stored and the number of rows. `spare`: memory for
// nearest's tile, which grows as needed.
void send_rows_back(const plan::PlannedLayer& layer, const octavo_tile& tile, const RowMetrics& metrics,
                    plugin::Lane& lane, Slot& slot, Slot& spare, octavo_tile_result& result);

}  // namespace octavo::run
