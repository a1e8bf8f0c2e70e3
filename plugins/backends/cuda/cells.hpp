// Nearest on any grid that the reference knows: values in scratch memory, then level by level.
#pragma once

#include "codes.hpp"
#include "launch.hpp"
#include "view.hpp"

#include <cstdint>

namespace octavo::cuda {

struct CellsJob {
  float* values;  // [codes.rows, codes.cols] packed: the tile in the grid's basis, all finite
  View codes;
  CodePlan code;
  LevelPlan levels[2];  // level 0 is the finest
  int level_count;
  ZeroPlan zero;
  double* row_errors;  // pinned, for each of `source_rows`; or nullptr
  std::int64_t source_rows;
};

// Fills levels[index].values from the magnitudes of its cells; of level 0 counts floored cells. Level 1 comes
// first.
void make_scales(const Launch& launch, const CellsJob& job, int index);

// Fills a single level and its zero points from the lowest and the highest value of each cell.
void make_ranges(const Launch& launch, const CellsJob& job);

// Fills a level's one value from the absmax of the whole layer.
void make_whole_scale(const Launch& launch, const CellsJob& job, int index, float absmax);

// Codes from values and levels. Reports the errors, and what the steps before found.
void make_codes(const Launch& launch, const CellsJob& job);

// The reverse: codes, scales (levels[].values are filled from .stored by load_levels) and zero points to f32.
void load_levels(const Launch& launch, const CellsJob& job);
void read_codes(const Launch& launch, const CellsJob& job, const View& target);

}  // namespace octavo::cuda
