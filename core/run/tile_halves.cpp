#include "run/tile_halves.hpp"

#include "plan/tile_shape.hpp"

#include <algorithm>
#include <cstdint>

namespace octavo::run {

std::vector<WorkItem> plan_halves(const plan::PlannedLayer& layer, const WorkItem& tile) {
  const auto multiple = static_cast<uint64_t>(plan::tile_row_multiple(layer));
  const uint64_t first = (tile.size / 2 + multiple - 1) / multiple * multiple;
  if ((layer.wants & OCTAVO_WANTS_WHOLE_LAYER) != 0 || first == 0 || first >= tile.size) return {};
  WorkItem front = tile, back = tile;
  front.size = first;
  back.begin += first;
  back.size -= first;
  return {front, back};
}

void add_half(const octavo_tile_result& half, octavo_tile_result& whole) {
  whole.max_error = std::max(whole.max_error, half.max_error);
  whole.error_sum += half.error_sum;
  whole.signal_sum += half.signal_sum;
  whole.nonfinite_count += half.nonfinite_count;
  whole.overflow_count += half.overflow_count;
  whole.underflow_count += half.underflow_count;
  whole.floored_rows += half.floored_rows;
  whole.rows_sent_back += half.rows_sent_back;
}

}  // namespace octavo::run
