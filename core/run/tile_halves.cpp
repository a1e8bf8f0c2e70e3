#include "run/tile_halves.hpp"

#include "plan/tile_shape.hpp"
#include "plugin/instance.hpp"

#include <octavo/plugin.hpp>

#include <algorithm>
#include <cstdint>

namespace octavo::run {
namespace {

constexpr int kMostHalvings = 3;

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

std::optional<octavo_tile_result> make_in_halves(const plan::PlannedLayer& layer, const WorkItem& tile,
                                                 const Error& error, const MakePiece& make, int halvings) {
  const std::vector<WorkItem> halves = plan_halves(layer, tile);
  const bool is_out_of_memory = dynamic_cast<const plugin::OutOfMemory*>(&error) != nullptr;
  if (!is_out_of_memory || halves.empty() || halvings == kMostHalvings) return std::nullopt;
  octavo_tile_result whole{};
  for (const WorkItem& half : halves) {
    std::optional<octavo_tile_result> found;
    try {
      found = make(half);
    } catch (const Error& again) {
      found = make_in_halves(layer, half, again, make, halvings + 1);
      if (!found) throw;
    }
    add_half(*found, whole);
  }
  octavo::copy_text("stored in smaller tiles, because memory ran out", whole.note);
  return whole;
}

}  // namespace

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

std::optional<octavo_tile_result> make_in_halves(const plan::PlannedLayer& layer, const WorkItem& tile,
                                                 const Error& error, const MakePiece& make) {
  return make_in_halves(layer, tile, error, make, 0);
}

}  // namespace octavo::run
