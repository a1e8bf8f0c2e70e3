// LDLQ: rounding with linear feedback, column by column from the last to the first.
//
//   f_k = w_k + sum over i > k of (w_i - stored_i) L_ik,   code_k = clamp(rint(f_k / scale))
//
// with the unit lower triangle L of H = L D L^T. Among all rounders with linear feedback it has the smallest
// expected e H e^T (Chee et al., arXiv 2307.13304, theorem 1). In blocks: what the finished columns on the
// right feed into a block is one matrix product, and inside the block every column is fed back exactly
// (round_feedback), so that the size of the blocks changes nothing but the order of additions.
#pragma once

#include "feedback/row_metric.hpp"

#include <octavo/lane.hpp>

#include <cstdint>

namespace octavo::feedback {

// A band of rows, everything in the lane's memory.
struct Band {
  const octavo_grid& grid;
  octavo_tensor weight;    // f32 [rows, cols], in the grid's basis; read a block of columns at a time
  octavo_tensor scales;    // f32, level 0 of these rows
  octavo_tensor codes;     // written: grid.stored_dtype [rows, cols]
  octavo_tensor residual;  // written: f32 [rows, cols], weight - stored; may take the weight's place
};

// Writes codes and residual. The metric of what it leaves comes with it at little cost. `group`: columns that
// take what is right of them from one product, in which what its blocks feed to one another comes by small
// ones; a multiple of the block.
RowMetric round_with_feedback(octavo_lane& lane, const Band& band, const Triangle& triangle,
                              std::int64_t block, std::int64_t group);

// The same with what serves the lane where blocks are of so many columns.
RowMetric round_with_feedback(octavo_lane& lane, const Band& band, const Triangle& triangle,
                              std::int64_t block);

// The same without feedback: nearest on these scales.
void round_to_nearest(octavo_lane& lane, const Band& band);

}  // namespace octavo::feedback
