// How many rows a tile has: a function of the layer and what works on it, never of memory, lanes or device,
// so that a method whose result depends on the cut gives the same bytes everywhere.
#pragma once

#include <cstdint>

namespace octavo::plan {

// Bytes of source that a tile aims at. Small enough for a core's cache to hold what it works on, large enough
// for one copy over a bus; 4 MiB was the best of 1 to 64 on a GPU and within noise of the best on a CPU.
inline constexpr uint64_t kTileBytes = uint64_t{4} << 20;

// At least one row multiple, at most the layer (rounded up to it). `row_multiple` >= 1.
int64_t tile_height(int64_t rows, uint64_t row_bytes, int64_t row_multiple, bool whole_layer,
                    uint64_t tile_bytes = kTileBytes);

}  // namespace octavo::plan
