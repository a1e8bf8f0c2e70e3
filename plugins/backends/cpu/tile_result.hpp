// Filling octavo_tile_result row by row, and handing rows that the kernels do not cover to the reference.
#pragma once

#include <octavo/abi/backend.h>

#include <cstdint>

namespace octavo::cpu {

struct RowErrors {
  double error;   // sum of (stored - source)^2
  double signal;  // sum of source^2
  float largest;  // |stored - source|
};

void clear_result(octavo_tile_result& result);

// Adds what belongs to more than one row; add_row also fills the row's metrics.
void add_rows(octavo_tile_result& result, const RowErrors& errors);
void add_row(octavo_tile_result& result, std::int64_t row, const RowErrors& errors);

// Lets the reference do `rows`, a part of a tile that begins at its row `first` and has `cols` columns, and
// adds what it found. Throws PluginError.
void add_reference(const octavo_operations& reference, const octavo_tile& rows, std::int64_t first,
                   std::int64_t cols, octavo_tile_result& result);

// Nearest corrects no bias.
void zero_bias_delta(const octavo_tile& tile);

}  // namespace octavo::cpu
