#include "feedback/feedback_optimizer.hpp"

#include "feedback/band.hpp"
#include "feedback/factor.hpp"
#include "feedback/gate.hpp"
#include "feedback/greedy.hpp"
#include "feedback/input_state.hpp"
#include "feedback/triangle.hpp"
#include "scale_search/scale_search.hpp"

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <optional>

namespace octavo::feedback {
namespace {

// State of one layer: what it shares, or its own where the host had nothing to share.
struct LayerState final : OptimizerState {
  std::unique_ptr<InputState> own;
  const InputState* inputs = nullptr;
};

// Why the codes of a grid leave nothing to choose; "" where they do.
std::string refusal_of(const octavo_grid& grid) {
  const bool codes =
      grid.code == OCTAVO_CODE_INTEGER || grid.code == OCTAVO_CODE_E4M3 || grid.code == OCTAVO_CODE_E5M2;
  if (!codes) return "its format has no signed codes with a scale";
  if (grid.scale_levels != 1 || grid.scales[0].dtype != OCTAVO_F32)
    return "its format has more than one F32 level of scales";
  return {};
}

std::string percent_text(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%", 100 * share);
  return text;
}

Preparation nearest(const std::string& why) { return {nullptr, OCTAVO_VERDICT_NEAREST, why}; }

// The signal is nearest's: that of the same weight.
void fill_errors(octavo_lane& lane, const octavo_tile& tile, const octavo_tensor& residual,
                 octavo_tile_result& result) {
  octavo_error_sums squares{};
  squares.struct_size = sizeof squares;
  octavo_absmax_result largest{};
  largest.struct_size = sizeof largest;
  issue(lane, &octavo_operations::error_sums, &residual, &residual, &squares);
  issue(lane, &octavo_operations::absmax, static_cast<const octavo_grid*>(nullptr), &residual, 0u, &largest);
  wait_for(lane, tile.slot);
  result.error_sum = squares.signal_sum;
  result.max_error = largest.absmax;
}

double total(const std::vector<double>& metric) { return std::accumulate(metric.begin(), metric.end(), 0.0); }

// One number for each row of the tile. Where the basis couples rows, the coded rows are not the tile's: its
// total is spread over all of them.
void copy_metric(const std::vector<double>& metric, const octavo_tile& tile, double* target) {
  if (target == nullptr) return;
  const std::int64_t rows = tile.source.shape[0];
  if (tile.grid->basis == OCTAVO_BASIS_INCOHERENT) {
    std::fill_n(target, rows, total(metric) / static_cast<double>(rows));
  } else {
    std::copy(metric.begin(), metric.end(), target);
  }
}

}  // namespace

std::uint32_t FeedbackOptimizer::wants(const octavo_layer&, const octavo_grid& grid, bool has_inputs) const {
  std::uint32_t answer = OCTAVO_WANTS_PREPARE;
  if (has_inputs && refusal_of(grid).empty()) answer |= OCTAVO_WANTS_INPUTS;
  return answer | (grid.basis == OCTAVO_BASIS_INCOHERENT ? OCTAVO_WANTS_WHOLE_LAYER : OCTAVO_WANTS_ROWS);
}

std::unique_ptr<OptimizerState> FeedbackOptimizer::prepare_inputs(octavo_lane& lane,
                                                                  const octavo_inputs& inputs,
                                                                  const octavo_grid& grid) const {
  return prepare_input_state(lane, inputs, grid, settings_);
}

Preparation FeedbackOptimizer::prepare(const PrepareRequest& request) const {
  if (const std::string refusal = refusal_of(request.grid); !refusal.empty()) return nearest(refusal);
  if (request.inputs == nullptr || request.inputs->samples.data == nullptr)
    return nearest("no inputs of it are known, and without them feedback equals nearest");
  auto state = std::make_unique<LayerState>();
  state->inputs = static_cast<const InputState*>(request.shared);
  if (state->inputs == nullptr) {
    state->own = prepare_input_state(request.lane, *request.inputs, request.grid, settings_);
    state->inputs = state->own.get();
  }
  const InputState& inputs = *state->inputs;
  if (!inputs.refusal.empty()) return nearest(inputs.refusal);
  const GateResult judged = judge(request, inputs.judged, inputs.held_out, settings_.block);
  inputs.one_was_judged();
  const double share = judged.nearest > 0 ? judged.feedback / judged.nearest : 1.0;
  if (!(judged.feedback < judged.nearest)) {
    return nearest("on held-out inputs the error of feedback is " + percent_text(share) + " of nearest's");
  }
  Preparation made;
  made.state = std::move(state);
  made.reason = "held-out error " + percent_text(share) + " of nearest's";
  for (const std::string* note : {&inputs.factor.note, &inputs.note}) {
    if (!note->empty()) made.reason += "; " + *note;
  }
  return made;
}

void FeedbackOptimizer::warm_up(std::uint32_t memory, std::int32_t device) const {
  load_linear_algebra(memory, device);
}

void FeedbackOptimizer::quantize(const OptimizerState* state, octavo_lane& lane, const octavo_tile& tile,
                                 octavo_tile_result& result) const {
  // Scales, and what is to be said of values that are not finite.
  issue(lane, &octavo_operations::quantize_nearest, &tile, &result);
  if (state == nullptr) return;
  wait_for(lane, tile.slot);
  if (result.nonfinite_count > 0 && (tile.flags & OCTAVO_TILE_ZERO_NONFINITE) == 0) return;

  const Factor& factor = static_cast<const LayerState*>(state)->inputs->factor;
  const bool coupled = tile.grid->basis == OCTAVO_BASIS_INCOHERENT;
  const FactorOnLane on_lane(lane, factor);
  const Triangle& triangle = on_lane.triangle();
  BandMemory memory(lane, tile, factor.order);
  const Band& band = memory.band();
  std::optional<RowMetric> nearest;
  if (result.row_nearest_metric != nullptr || coupled) {
    round_to_nearest(lane, band);
    nearest.emplace(measure(lane, band.residual, triangle, settings_.block));
    memory.begin_again(lane);
  }
  if (settings_.scale_search > 0 && scale_search::applies_to(*tile.grid))
    scale_search::search(lane, *tile.grid, memory.weight(), tile.scales[0], settings_.scale_search);
  std::vector<double> metric = round_with_feedback(lane, band, triangle, settings_.block).sums();
  if (factor.hessian && greedy_passes(lane, band, factor.hessian->view, settings_.passes) > 0)
    metric = measure(lane, band.residual, triangle, settings_.block).sums();
  const std::vector<double> nearest_metric = nearest ? nearest->sums() : std::vector<double>();
  if (coupled && !(total(metric) < total(nearest_metric))) {
    issue(lane, &octavo_operations::quantize_nearest, &tile, &result);
    copy_text("stored as nearest: feedback is no better in its own metric", result.note);
    return;
  }
  if (nearest) copy_metric(nearest_metric, tile, result.row_nearest_metric);
  copy_metric(metric, tile, result.row_metric);
  memory.store_codes(tile);
  fill_errors(lane, tile, band.residual, result);
}

}  // namespace octavo::feedback
