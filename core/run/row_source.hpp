// Rows that are not read as they are: dequantized from what a format stored, with LoRA updates merged, or
// scaled for SmoothQuant.
//
// Everything is f32 and class A. Where all updates are products of two matrices, the lane does the work: what
// was stored and the factors go to its memory behind the tile, and the rows are made at the tile's source. An
// update of another kind (LoHa, LoKr, a difference) is added on the host, with the reference operations, and
// so are factors of columns and rows.
#pragma once

#include "checkpoint/reader.hpp"
#include "plan/row_origin.hpp"
#include "plugin/backend.hpp"
#include "run/slot.hpp"

#include <octavo/abi/backend.h>

#include <cstdint>

namespace octavo::run {

// Rows [begin, begin + rows) of a weight.
struct Band {
  int64_t begin = 0;
  int64_t rows = 0;
  int64_t cols = 0;
};

// Makes f32 [rows, cols] at offset 0 of the slot, in the lane's memory, using what lies behind `staging` (see
// plan::staging_bytes). `cast` is written by the lane and outlives its work. Throws as reading and lanes do.
void make_rows(const checkpoint::Checkpoint& source, const plan::RowOrigin& origin, const Band& band,
               plugin::Lane& lane, Slot& slot, uint64_t staging, octavo_cast_result& cast);

// The same into `target` (f32 [rows, cols] in host memory), with the reference operations.
void make_rows_on_host(const checkpoint::Checkpoint& source, const plan::RowOrigin& origin, const Band& band,
                       octavo_tensor& target);

}  // namespace octavo::run
