// How many rows a tile has, and where its parts lie in memory.
//
// The height is a function of the layer and of what works on it (its optimizer, and whether that is a
// device), never of memory or lanes, so that a method whose result depends on the cut gives the same bytes
// with any of these.
#pragma once

#include "plan/plan.hpp"

#include <cstdint>

namespace octavo::plan {

// Bytes of source that a tile aims at. Small enough for a core's cache to hold what it works on, large enough
// for one copy over a bus; 4 MiB was the best of 1 to 64 on a GPU and within noise of the best on a CPU.
inline constexpr uint64_t kTileBytes = uint64_t{4} << 20;
// The same on a device, for a layer that something is prepared for: its optimizer goes along the columns in
// many small steps, which only many rows make worth their launch. (12 GB of weights with feedback on an
// H200: 3.7 s with 16 MiB, 3.4 with 20 to 32, 3.1 with 48, which take another gigabyte of its memory.)
inline constexpr uint64_t kTallTileBytes = uint64_t{20} << 20;

struct TileSizes {
  uint64_t usual = kTileBytes;
  uint64_t tall = kTileBytes;  // of layers that something is prepared for
};

// Rows of a tile: at least one row multiple, at most the layer. `row_multiple` >= 1.
int64_t tile_height(int64_t rows, uint64_t row_bytes, int64_t row_multiple, bool whole_layer,
                    uint64_t tile_bytes = kTileBytes);

// True where the layer is one tile, whatever its size.
bool comes_whole(const PlannedLayer& layer);
// True where its optimizer makes something of the layer, or of its inputs, before the first tile.
bool is_prepared(const PlannedLayer& layer);

// Tiles of a layer begin at multiples of so many rows.
int64_t tile_row_multiple(const PlannedLayer& layer);

// The same for a layer (its last tile may have fewer rows).
int64_t tile_rows(const PlannedLayer& layer, const TileSizes& sizes);

// Rows of codes that `rows` rows of the layer make: as many, or those of the padded grid where the basis
// couples rows, whose one tile is the whole layer.
int64_t coded_rows(const PlannedLayer& layer, int64_t rows);

// Byte offsets of a tile's parts within one block of memory; each is a multiple of 64. The source is at 0.
struct TileOffsets {
  uint64_t source_bytes = 0;
  uint64_t codes = 0;
  uint64_t scales[2] = {0, 0};
  uint64_t zero_points = 0;
  uint64_t total = 0;  // end of what the tile holds
  uint64_t block = 0;  // end of all: behind `total` lies what the rows are made from, where they are made
};

TileOffsets tile_offsets(const PlannedLayer& layer, int64_t rows);

// Rows of a piece of a tensor into which something is merged, and the offsets of its parts: f32 rows at 0,
// the stored dtype at `codes`.
int64_t merge_rows(const PlannedMerge& merge, uint64_t tile_bytes);
TileOffsets merge_offsets(const PlannedMerge& merge, int64_t rows);

// True where a layer's memory is leased before its first tile: it comes whole, or something is prepared for
// it.
bool needs_admission(const PlannedLayer& layer);
// What the host allocates for it at most: the tile, where it comes whole (less on a device, where it may
// stream), and the inputs, where the optimizer sees them (once for a group of layers that share them). What a
// plugin allocates it leases itself.
uint64_t tile_lease(const PlannedLayer& layer);
uint64_t inputs_lease(const PlannedLayer& layer);
inline uint64_t leased_bytes(const PlannedLayer& layer) { return tile_lease(layer) + inputs_lease(layer); }
// What an optimizer may hold for it beside that: three times the layer in f32 where it comes whole, two f32
// matrices [cols, cols] where it sees inputs. A bound for estimates; nothing enforces it.
uint64_t optimizer_bytes(const PlannedLayer& layer);

// Memory that one slot of a lane needs for any piece of this plan's work but layers that come whole or in
// tall tiles, for which it grows where the lane works.
uint64_t slot_bytes(const Plan& plan, uint64_t tile_bytes);

}  // namespace octavo::plan
