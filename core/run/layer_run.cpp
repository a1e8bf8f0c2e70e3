#include "run/layer_run.hpp"

#include <octavo/grid.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace octavo::run {

double LayerResult::sqnr_db() const {
  if (error_sum == 0) return std::numeric_limits<double>::infinity();
  return 10 * std::log10(signal_sum / error_sum);
}

LayerRun::LayerRun(const plan::PlannedLayer& layer, size_t tiles)
    : layer_(layer), absmax_left_(octavo::needs_layer_absmax(layer.grid) ? tiles : 0), results_(tiles) {}

void LayerRun::add_absmax(const octavo_absmax_result& result) {
  const std::lock_guard lock(mutex_);
  absmax_ = std::max(absmax_, result.absmax);
  if (--absmax_left_ == 0) changed_.notify_all();
}

bool LayerRun::wait_absmax(std::stop_token stop, float& absmax) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait(lock, stop, [&] { return absmax_left_ == 0; })) return false;
  absmax = absmax_;
  return true;
}

const plugin::Preparation& LayerRun::prepared(const std::function<plugin::Preparation()>& prepare) {
  std::call_once(prepared_, [&] { preparation_ = prepare(); });
  return preparation_;
}

void LayerRun::store(size_t tile, const octavo_tile_result& result) {
  const std::lock_guard lock(mutex_);
  results_[tile] = result;
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
  if (sum.note.empty()) sum.note = preparation_.reason;
  if (!layer_.note.empty()) sum.note = sum.note.empty() ? layer_.note : layer_.note + "; " + sum.note;
  return sum;
}

}  // namespace octavo::run
