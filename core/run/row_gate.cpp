#include "run/row_gate.hpp"

#include "plan/tile_shape.hpp"
#include "run/tile_values.hpp"

#include <octavo/grid.hpp>
#include <octavo/tensor.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

namespace octavo::run {
namespace {

// One part of a tile (codes, a level of scales) in the optimizer's block of memory and in nearest's.
struct Part {
  std::byte* own;
  const std::byte* nearest;
  uint64_t row_bytes;         // of one row of the part
  int64_t rows_per_part_row;  // rows of the layer that share one

  bool is_equal(int64_t row) const {
    const uint64_t offset = static_cast<uint64_t>(row / rows_per_part_row) * row_bytes;
    return std::memcmp(own + offset, nearest + offset, row_bytes) == 0;
  }
  void take_nearest(int64_t row) const {
    const uint64_t offset = static_cast<uint64_t>(row / rows_per_part_row) * row_bytes;
    std::memcpy(own + offset, nearest + offset, row_bytes);
  }
};

class Gate {
 public:
  Gate(const plan::PlannedLayer& layer, const octavo_tile& tile, const RowMetrics& metrics, std::byte* own,
       const std::byte* nearest)
      : grid_(layer.grid), metrics_(metrics), rows_(tile.source.shape[0]) {
    const plan::TileOffsets at = plan::tile_offsets(layer, rows_);
    const auto part = [&](uint64_t offset, uint64_t cols, uint32_t dtype, int64_t rows_each) {
      return Part{own + offset, nearest + offset, cols * octavo::bytes_of(dtype), rows_each};
    };
    codes_ = part(at.codes, static_cast<uint64_t>(grid_.cols), grid_.stored_dtype, 1);
    for (uint32_t level = 0; level < grid_.scale_levels; ++level) {
      const octavo_scale_level& scale = grid_.scales[level];
      if (scale.granularity == OCTAVO_PER_TENSOR) continue;  // the layer's, and the same for both
      const auto shape = octavo::scale_shape(scale, rows_, grid_.cols);
      const int64_t rows_each = scale.granularity == OCTAVO_PER_BLOCK ? scale.block_rows : 1;
      scales_.push_back(part(at.scales[level], static_cast<uint64_t>(shape.cols), scale.dtype, rows_each));
      if (level == 0 && grid_.code == OCTAVO_CODE_INTEGER_ZERO) {
        scales_.push_back(
            part(at.zero_points, static_cast<uint64_t>(shape.cols), grid_.zero_point_dtype, rows_each));
      }
    }
  }

  // Returns how many rows were replaced.
  int64_t apply() {
    const int64_t height = rows_sharing_a_scale();
    int64_t replaced = 0;
    for (int64_t begin = 0; begin < rows_; begin += height)
      replaced += apply(begin, std::min(begin + height, rows_));
    return replaced;
  }

 private:
  int64_t rows_sharing_a_scale() const {
    int64_t height = 1;
    for (const Part& part : scales_) height = std::lcm(height, part.rows_per_part_row);
    return height;
  }

  int64_t apply(int64_t begin, int64_t end) {
    const bool is_shared = end - begin > 1 && !has_nearest_scales(begin);
    if (is_shared && !is_band_lost(begin, end)) return 0;
    int64_t replaced = 0;
    for (int64_t row = begin; row < end; ++row) {
      if (!is_shared && !metrics_.is_lost(static_cast<size_t>(row))) continue;
      codes_.take_nearest(row);
      for (const Part& part : scales_) part.take_nearest(row);
      ++replaced;
    }
    return replaced;
  }

  bool has_nearest_scales(int64_t row) const {
    return std::all_of(scales_.begin(), scales_.end(), [&](const Part& part) { return part.is_equal(row); });
  }

  bool is_band_lost(int64_t begin, int64_t end) const {
    const auto sum = [&](const std::vector<double>& values) {
      return std::accumulate(values.begin() + begin, values.begin() + end, 0.0);
    };
    return !(sum(metrics_.own) < sum(metrics_.nearest));
  }

  const octavo_grid& grid_;
  const RowMetrics& metrics_;
  int64_t rows_;
  Part codes_{};
  std::vector<Part> scales_;
};

// Makes nearest's tile in the spare slot, whose host memory has its parts then.
octavo_tile_result make_nearest(const plan::PlannedLayer& layer, const octavo_tile& tile, plugin::Lane& lane,
                                Slot& spare) {
  const int64_t rows = tile.source.shape[0];
  const plan::TileOffsets at = plan::tile_offsets(layer, rows);
  spare.host(at.total);
  octavo_tile nearest = spare.tile(layer, tile.row_begin, rows);
  nearest.source = tile.source;
  nearest.slot = tile.slot;
  nearest.absmax = tile.absmax;
  nearest.flags = tile.flags;
  octavo_tile_result found{};
  found.struct_size = sizeof found;
  found.nonfinite_first = -1;
  lane.run("quantize_nearest",
           [&](const octavo_operations& operations, octavo_lane* raw, octavo_error* error) {
             return operations.quantize_nearest(raw, &nearest, &found, error);
           });
  spare.copy_out(at.codes, at.total);
  lane.record(tile.slot);
  lane.wait(tile.slot);
  return found;
}

// Replaces what the optimizer lost, in the blocks of its tile and nearest's; returns the number of rows.
int64_t replace_lost_rows(const plan::PlannedLayer& layer, const octavo_tile& tile, const RowMetrics& metrics,
                          std::byte* own, const std::byte* nearest) {
  if (layer.grid.basis != OCTAVO_BASIS_INCOHERENT) return Gate(layer, tile, metrics, own, nearest).apply();
  const auto sum = [](const std::vector<double>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0);
  };
  if (sum(metrics.own) < sum(metrics.nearest)) return 0;
  const plan::TileOffsets at = plan::tile_offsets(layer, tile.source.shape[0]);
  std::memcpy(own + at.codes, nearest + at.codes, at.total - at.codes);
  return tile.source.shape[0];
}

void take_sums(const octavo_tile_result& nearest, octavo_tile_result& result) {
  result.error_sum = nearest.error_sum;
  result.signal_sum = nearest.signal_sum;
  result.max_error = nearest.max_error;
  result.floored_rows = nearest.floored_rows;
}

}  // namespace

void RowMetrics::expect(int64_t rows, octavo_tile_result& result) {
  own.assign(static_cast<size_t>(rows), std::numeric_limits<double>::quiet_NaN());
  nearest = own;
  result.row_metric = own.data();
  result.row_nearest_metric = nearest.data();
}

// Written so that a metric that is NaN beside a number counts as worse.
bool RowMetrics::is_lost(size_t row) const { return !std::isnan(nearest[row]) && !(own[row] < nearest[row]); }

bool RowMetrics::any_lost() const {
  for (size_t row = 0; row < own.size(); ++row) {
    if (is_lost(row)) return true;
  }
  return false;
}

void send_rows_back(const plan::PlannedLayer& layer, const octavo_tile& tile, const RowMetrics& metrics,
                    plugin::Lane& lane, Slot& slot, Slot& spare, octavo_tile_result& result) {
  const octavo_tile_result nearest = make_nearest(layer, tile, lane, spare);
  const plan::TileOffsets at = plan::tile_offsets(layer, tile.source.shape[0]);
  const int64_t replaced =
      replace_lost_rows(layer, tile, metrics, slot.host(at.total).data(), spare.host(at.total).data());
  result.rows_sent_back = std::max(result.rows_sent_back, replaced);
  if (replaced == 0) return;
  slot.copy_in(at.codes, at.total);  // biases are corrected for what is stored
  lane.record(tile.slot);
  lane.wait(tile.slot);
  if (replaced == tile.source.shape[0]) return take_sums(nearest, result);
  measure(lane, tile, result);
}

}  // namespace octavo::run
