#include "learned_rounding.hpp"

#include "band.hpp"
#include "projected_descent.hpp"

#include <octavo/lane.hpp>

#include <fmt/format.h>

#include <cmath>
#include <string>

namespace octavo::descent {
namespace {

double in_db(double ratio) { return 20 * std::log10(ratio); }

std::string note_of(const ProjectedOutcome& outcome, double unit, std::int64_t rank) {
  if (outcome.steps == 0) return "nearest is best in the projected objective too";
  const ProjectedNorms &nearest = outcome.nearest, &learned = outcome.learned;
  return fmt::format(
      "|P| {:.4g} (nearest {:.4g}, x{:.3f}), |E| {:.4g} (nearest {:.4g}, {:+.3f} dB), {} directions",
      learned.projected * unit, nearest.projected * unit, learned.projected / nearest.projected,
      learned.error * unit, nearest.error * unit, in_db(learned.error / nearest.error), rank);
}

// Weights, moved weights, codes, and the lists and matrices of an iteration.
std::uint64_t bytes_for(const GridTile& tile, const Rule& rule) {
  const auto elements = static_cast<std::uint64_t>(tile.rows() * tile.cols());
  return elements * (13 + static_cast<std::uint64_t>(rule.bytes_per_element()));
}

}  // namespace

bool LearnedRounding::minimises_output(bool has_inputs) const {
  return settings_.objective == Objective::output ||
         (settings_.objective == Objective::automatic && has_inputs);
}

std::uint32_t LearnedRounding::wants(const octavo_layer&, const octavo_grid&, bool has_inputs) const {
  if (minimises_output(has_inputs)) return OCTAVO_WANTS_ROWS | OCTAVO_WANTS_PREPARE;
  return OCTAVO_WANTS_WHOLE_LAYER;
}

Preparation LearnedRounding::prepare(const PrepareRequest& request) const {
  Preparation preparation;
  if (request.inputs == nullptr) {
    preparation.verdict = OCTAVO_VERDICT_NEAREST;
    preparation.reason =
        "without inputs the output error is the squared error of the weight, of which nearest is the least";
  }
  return preparation;
}

void LearnedRounding::quantize(const OptimizerState*, octavo_lane& lane, const octavo_tile& tile,
                               octavo_tile_result& result) const {
  issue(lane, &octavo_operations::quantize_nearest, &tile, &result);
  wait_for(lane, tile.slot);
  if (result.nonfinite_count > 0 || result.signal_sum == 0) return;  // the host decides about the first
  const TorchScope scope(lane);
  learn_projected(Work(host_, lane, tile.layer->name), tile, result);
}

void LearnedRounding::learn_projected(const Work& work, const octavo_tile& tile,
                                      octavo_tile_result& result) const {
  GridTile layer(work, tile);
  const Lease lease(host_, bytes_for(layer, *make_rule()));
  const Subspace subspace = leading_subspace(work, layer.values(), settings_.subspace, tile.layer->seed);
  layer.release_values();
  const ProjectedOutcome outcome =
      descend_projected(work, layer, subspace, settings_.projected(), [this] { return make_rule(); });
  work.debug(
      fmt::format("{} iterations, {} steps, {}", outcome.iterations, outcome.steps, text_of(outcome.stop)));
  layer.store(result);
  copy_text(note_of(outcome, layer.unit(), subspace.left.size(1)), result.note);
}

}  // namespace octavo::descent
