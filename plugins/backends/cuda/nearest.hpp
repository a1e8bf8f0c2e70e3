// Nearest for INT8 codes with one level of scales: the launches behind plain conversions.
#pragma once

#include "launch.hpp"
#include "view.hpp"

#include <octavo/abi/grid.h>

#include <cstdint>

namespace octavo::cuda {

// What both kernels are given. The source is F32, BF16 or F16, every row 16-byte aligned and readable up to
// the next multiple of 8 columns, with zeros beyond its own. Every row of codes is 8-byte aligned,
// in a rotated basis 16, and written up to the next multiple of 8 columns.
struct NearestJob {
  View source;
  std::int8_t* codes;
  std::int64_t codes_stride;
  float* scales;  // nullptr where the scale is given
  std::int64_t scales_stride;
  std::int64_t basis_group;  // 16, 64 or 256; 0: plain
  float qmax;                // 1 to 127
  float floor;               // >= 1e-30
  float scale;               // of the whole tensor, where it is given
  double* row_errors;        // pinned, for each row; or nullptr
  // Ahead of it in the stream is a launch of nearest_rows that does not write the source: what was there
  // before that has ended, and the first rows are read while it ends.
  bool reads_early;
};

// The widest row that nearest_rows takes: 32768 columns, fewer in a rotated basis where a block cannot have
// the shared memory for them (64 KB before Ampere, 99 KB on consumer GPUs since).
std::int64_t widest_row(const Residency& residency, std::int64_t basis_group);

// A scale for each row, or one that is given. Reports errors, nonfinite values and floored rows.
void nearest_rows(const Launch& launch, const NearestJob& job);

// A scale for each block of 128 x 128; the columns are a multiple of 128. No row errors, plain basis.
void nearest_blocks(const Launch& launch, const NearestJob& job);

}  // namespace octavo::cuda
