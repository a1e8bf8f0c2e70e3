#include "run/layer_run.hpp"

#include "base/sqnr.hpp"
#include "run/notes.hpp"

#include <octavo/grid.hpp>

#include <algorithm>
#include <limits>
#include <utility>

namespace octavo::run {

double LayerResult::sqnr_db() const {
  return octavo::sqnr_db(signal_sum, error_sum).value_or(std::numeric_limits<double>::infinity());
}

LayerRun::LayerRun(const plan::PlannedLayer& layer, size_t tiles)
    : layer_(layer),
      absmax_left_(octavo::needs_layer_absmax(layer.grid) ? tiles : 0),
      tiles_left_(tiles),
      results_(tiles) {}

void LayerRun::add_absmax(const octavo_absmax_result& result) {
  const std::lock_guard lock(mutex_);
  absmax_ = std::max(absmax_, result.absmax);
  --absmax_left_;
}

bool LayerRun::has_absmax(float& absmax) const {
  const std::lock_guard lock(mutex_);
  absmax = absmax_;
  return absmax_left_ == 0;
}

void LayerRun::set_verdict(octavo_verdict verdict, const std::string& reason) {
  const std::lock_guard lock(mutex_);
  verdict_ = verdict;
  reason_ = reason;
}

bool LayerRun::store(size_t tile, const octavo_tile_result& result) {
  const std::lock_guard lock(mutex_);
  results_[tile] = result;
  results_[tile].row_metric = results_[tile].row_nearest_metric = nullptr;  // they were the tile's
  return --tiles_left_ == 0;
}

LayerResult LayerRun::result() const {
  LayerResult sum{layer_.name,       layer_.stored_as, layer_.optimizer_id, layer_.layer.rows,
                  layer_.layer.cols, layer_.bytes_in,  layer_.bytes_out};
  for (const octavo_tile_result& tile : results_) {
    sum.error_sum += tile.error_sum;
    sum.signal_sum += tile.signal_sum;
    sum.max_error = std::max(sum.max_error, tile.max_error);
    sum.zeroed += tile.nonfinite_count;
    sum.overflow += tile.overflow_count;
    sum.underflow += tile.underflow_count;
    sum.floored_rows += tile.floored_rows;
    sum.rows_sent_back += tile.rows_sent_back;
    if (sum.note.empty()) sum.note = tile.note;
  }
  sum.stored_as_nearest = verdict_ == OCTAVO_VERDICT_NEAREST;
  if (sum.stored_as_nearest) {
    sum.nearest_reason = reason_;
  } else if (sum.note.empty()) {
    sum.note = reason_;
  }
  sum.bias_corrected = layer_.bias.has_value();
  std::string notes = layer_.note;
  add_note(notes, sum.note);
  sum.note = std::move(notes);
  return sum;
}

}  // namespace octavo::run
