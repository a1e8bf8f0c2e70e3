#include "plan/tile_shape.hpp"

#include "base/aligned.hpp"
#include "calibration/samples.hpp"

#include <octavo/grid.hpp>
#include <octavo/tensor.hpp>

#include <algorithm>
#include <numeric>

namespace octavo::plan {
namespace {

uint64_t view_bytes(int64_t rows, int64_t cols, uint32_t dtype) {
  return static_cast<uint64_t>(rows) * static_cast<uint64_t>(cols) * octavo::bytes_of(dtype);
}

}  // namespace

bool comes_whole(const PlannedLayer& layer) { return (layer.wants & OCTAVO_WANTS_WHOLE_LAYER) != 0; }

bool is_prepared(const PlannedLayer& layer) {
  return (layer.wants & (OCTAVO_WANTS_PREPARE | OCTAVO_WANTS_INPUTS)) != 0;
}

int64_t coded_rows(const PlannedLayer& layer, int64_t rows) {
  return layer.grid.basis == OCTAVO_BASIS_INCOHERENT ? layer.grid.rows : rows;
}

TileOffsets tile_offsets(const PlannedLayer& layer, int64_t rows) {
  const octavo_grid& grid = layer.grid;
  const int64_t coded = coded_rows(layer, rows);
  TileOffsets at;
  at.source_bytes = view_bytes(rows, layer.layer.cols, layer.layer.dtype);
  at.codes = aligned(at.source_bytes);
  at.total = at.codes + aligned(view_bytes(coded, grid.cols, grid.stored_dtype));
  for (uint32_t level = 0; level < grid.scale_levels; ++level) {
    at.scales[level] = at.total;
    const octavo::ScaleShape shape = octavo::scale_shape(grid.scales[level], coded, grid.cols);
    at.total += aligned(view_bytes(shape.rows, shape.cols, grid.scales[level].dtype));
  }
  at.zero_points = at.total;
  if (grid.code == OCTAVO_CODE_INTEGER_ZERO) {
    const octavo::ScaleShape shape = octavo::scale_shape(grid.scales[0], coded, grid.cols);
    at.total += aligned(view_bytes(shape.rows, shape.cols, grid.zero_point_dtype));
  }
  at.block = at.total + staging_bytes(layer.origin, rows);
  return at;
}

int64_t tile_height(int64_t rows, uint64_t row_bytes, int64_t row_multiple, bool whole_layer,
                    uint64_t tile_bytes) {
  if (whole_layer) return rows;
  const uint64_t fitting = tile_bytes / std::max<uint64_t>(row_bytes, 1);
  const int64_t most = std::max<int64_t>(static_cast<int64_t>(fitting) / row_multiple, 1) * row_multiple;
  if (rows <= most) return rows;
  const int64_t tiles = (rows + most - 1) / most;  // all nearly as high
  return ((rows + tiles - 1) / tiles + row_multiple - 1) / row_multiple * row_multiple;
}

// A tile of a dequantized layer begins with whole blocks of both grids.
int64_t tile_row_multiple(const PlannedLayer& layer) {
  const int64_t stored_multiple = layer.origin.stored == nullptr ? 1 : layer.origin.stored->grid.row_multiple;
  return std::lcm(layer.grid.row_multiple, stored_multiple);
}

int64_t tile_rows(const PlannedLayer& layer, const TileSizes& sizes) {
  const uint64_t row_bytes = static_cast<uint64_t>(layer.layer.cols) * octavo::bytes_of(layer.layer.dtype);
  const uint64_t tile_bytes = is_prepared(layer) ? sizes.tall : sizes.usual;
  return tile_height(layer.layer.rows, row_bytes, tile_row_multiple(layer), comes_whole(layer), tile_bytes);
}

int64_t merge_rows(const PlannedMerge& merge, uint64_t tile_bytes) {
  return tile_height(merge.rows, view_bytes(1, merge.cols, OCTAVO_F32), 1, false, tile_bytes);
}

TileOffsets merge_offsets(const PlannedMerge& merge, int64_t rows) {
  TileOffsets at;
  at.source_bytes = view_bytes(rows, merge.cols, OCTAVO_F32);
  at.codes = aligned(at.source_bytes);
  at.total = at.codes + aligned(view_bytes(rows, merge.cols, merge.origin.tensor->info.dtype));
  at.block = at.total + staging_bytes(merge.origin, rows);
  return at;
}

bool needs_admission(const PlannedLayer& layer) { return comes_whole(layer) || is_prepared(layer); }

uint64_t tile_lease(const PlannedLayer& layer) {
  return comes_whole(layer) ? tile_offsets(layer, layer.layer.rows).block : 0;
}

uint64_t inputs_lease(const PlannedLayer& layer) {
  if ((layer.wants & OCTAVO_WANTS_INPUTS) == 0 || layer.inputs == nullptr) return 0;
  return calibration::Samples::bytes_of(*layer.inputs, layer.origin.columns != nullptr);
}

uint64_t optimizer_bytes(const PlannedLayer& layer) {
  uint64_t bytes = 0;
  if (comes_whole(layer)) bytes += 3 * view_bytes(layer.grid.rows, layer.grid.cols, OCTAVO_F32);
  if ((layer.wants & OCTAVO_WANTS_INPUTS) != 0)
    bytes += 2 * view_bytes(layer.grid.cols, layer.grid.cols, OCTAVO_F32);
  return bytes;
}

uint64_t slot_bytes(const Plan& plan, uint64_t tile_bytes) {
  const TileSizes usual{tile_bytes, tile_bytes};
  uint64_t largest = plan.copies.empty() ? 64 : tile_bytes;
  for (const auto& layer : plan.layers) {
    const uint64_t needed =
        comes_whole(*layer) ? tile_bytes : tile_offsets(*layer, tile_rows(*layer, usual)).block;
    largest = std::max(largest, needed);
  }
  for (const PlannedMerge& merge : plan.merges) {
    largest = std::max(largest, merge_offsets(merge, merge_rows(merge, tile_bytes)).block);
  }
  return largest;
}

}  // namespace octavo::plan
