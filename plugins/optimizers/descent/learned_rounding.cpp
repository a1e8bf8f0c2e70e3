#include "learned_rounding.hpp"

#include "band.hpp"
#include "feedback/input_state.hpp"
#include "feedback/sampled_tile.hpp"
#include "feedback/samples.hpp"
#include "output_rounding.hpp"
#include "projected_descent.hpp"

#include <octavo/lane.hpp>

#include <ATen/ops/mm.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

namespace octavo::descent {

// What layers that share inputs share. For the projected objective: the inputs in the grid's basis.
struct ProjectedInputs final : OptimizerState {
  Lease lease;
  at::Tensor samples;  // f32 [samples, cols]; undefined where they are of no use
  ProjectedInputs(const Host& host, std::uint64_t bytes) : lease(host, bytes) {}
};

// For the output error: Hessians without and with the held-out samples, of which the first is judged on
// those.
struct OutputInputs final : OptimizerState {
  Lease lease;
  std::unique_ptr<feedback::InputState> state;
  InputHessian judged, all;
  OutputInputs(const Host& host, std::uint64_t bytes) : lease(host, bytes) {}
};

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

// Of one layer: what is shared, or its own where the host had nothing to share.
struct LayerState final : OptimizerState {
  std::unique_ptr<OptimizerState> own;
  const OptimizerState* inputs = nullptr;
};

const OptimizerState* inputs_of(const OptimizerState* state) {
  return state == nullptr ? nullptr : static_cast<const LayerState*>(state)->inputs;
}

std::uint64_t matrix_bytes(std::int64_t rows, std::int64_t cols) {
  return static_cast<std::uint64_t>(rows * cols) * sizeof(float);
}

Preparation nearest(const std::string& why) { return {nullptr, OCTAVO_VERDICT_NEAREST, "nearest: " + why}; }

// f32 [samples, cols], in the judged factor's order of columns.
at::Tensor held_out_of(const OutputInputs& inputs) { return as_tensor(inputs.state->held_out.view); }

// |x e^T|^2 over held-out samples x and all rows e.
double held_out_error(const at::Tensor& samples, const GridTile& layer) {
  return at::mm(samples, layer.residual().t()).square_().sum(at::kDouble).item<double>();
}

// One number for each row of the tile. Where the basis couples rows the coded rows are not the tile's: the
// layer's error is spread over all of them, which keeps the sum.
void copy_metric(const std::vector<double>& errors, const octavo_tile& tile, double* target) {
  if (target == nullptr) return;
  const auto rows = static_cast<std::size_t>(tile.source.shape[0]);
  if (tile.grid->basis != OCTAVO_BASIS_INCOHERENT) {
    std::copy(errors.begin(), errors.end(), target);
    return;
  }
  const double total = std::accumulate(errors.begin(), errors.end(), 0.0);
  std::fill_n(target, rows, total / static_cast<double>(rows));
}

// Weights, moved weights, codes, and the lists and matrices of an iteration.
std::uint64_t bytes_for(const octavo_tile& tile, const Rule& rule) {
  const auto elements = static_cast<std::uint64_t>(tile.codes.shape[0] * tile.codes.shape[1]);
  return elements * (13 + static_cast<std::uint64_t>(rule.bytes_per_element()));
}

// Nearest, with nothing said about single rows: an objective that couples rows has no metric of one, and
// nearest's own on both sides would send every row back.
void start_from_nearest(octavo_lane& lane, const octavo_tile& tile, octavo_tile_result& result) {
  octavo_tile_result found = result;
  found.row_metric = nullptr;
  found.row_nearest_metric = nullptr;
  issue(lane, &octavo_operations::quantize_nearest, &tile, &found);
  wait_for(lane, tile.slot);
  found.row_metric = result.row_metric;
  found.row_nearest_metric = result.row_nearest_metric;
  result = found;
}

}  // namespace

bool LearnedRounding::minimises_output(bool has_inputs) const {
  return settings_.objective == Objective::output ||
         (settings_.objective == Objective::automatic && has_inputs);
}

std::uint32_t LearnedRounding::wants(const octavo_layer&, const octavo_grid& grid, bool has_inputs) const {
  const bool output = minimises_output(has_inputs);
  const bool whole = !output || grid.basis == OCTAVO_BASIS_INCOHERENT;
  std::uint32_t answer = whole ? OCTAVO_WANTS_WHOLE_LAYER : OCTAVO_WANTS_ROWS;
  if (output || has_inputs) answer |= OCTAVO_WANTS_PREPARE;
  return has_inputs ? answer | OCTAVO_WANTS_INPUTS : answer;
}

std::unique_ptr<OptimizerState> LearnedRounding::prepare_inputs(octavo_lane& lane,
                                                                const octavo_inputs& inputs,
                                                                const octavo_grid& grid) const {
  return torch_call([&] { return make_inputs(lane, inputs, grid); });
}

std::unique_ptr<OptimizerState> LearnedRounding::make_inputs(octavo_lane& lane, const octavo_inputs& inputs,
                                                             const octavo_grid& grid) const {
  const TorchScope scope(lane);
  const Work work(host_, lane, "inputs");
  if (minimises_output(true)) {
    auto made = std::make_unique<OutputInputs>(host_, 2 * matrix_bytes(grid.cols, grid.cols));
    made->state = feedback::prepare_input_state(lane, inputs, grid, settings_.inputs);
    if (!made->state->refusal.empty()) return made;
    for (auto [hessian, factor] :
         {std::pair(&made->judged, &made->state->judged), {&made->all, &made->state->factor}}) {
      *hessian = InputHessian(work, std::exchange(*factor, {}));
      if (!settings_.start_with_feedback) hessian->factor.lower = {};  // of no more use
    }
    return made;
  }
  auto made = std::make_unique<ProjectedInputs>(host_, matrix_bytes(inputs.samples.shape[0], grid.cols));
  const feedback::Samples samples(lane, inputs, grid);
  if (samples.refusal().empty()) made->samples = work.fetch(samples.all());
  return made;
}

Preparation LearnedRounding::prepare(const PrepareRequest& request) const {
  const bool has_inputs = request.inputs != nullptr && request.inputs->samples.data != nullptr;
  if (!has_inputs && minimises_output(false))
    return nearest(
        "without inputs the output error is the squared error of the weight, which nearest makes the least");
  Preparation made;
  auto state = std::make_unique<LayerState>();
  state->inputs = static_cast<const OptimizerState*>(request.shared);
  if (has_inputs && state->inputs == nullptr) {
    state->own = prepare_inputs(request.lane, *request.inputs, request.grid);
    state->inputs = state->own.get();
  }
  if (has_inputs && minimises_output(true)) {
    const Preparation judged =
        torch_call([&] { return judge(request, static_cast<const OutputInputs&>(*state->inputs)); });
    if (judged.verdict == OCTAVO_VERDICT_NEAREST) return {nullptr, judged.verdict, judged.reason};
    made.reason = judged.reason;
  }
  made.state = std::move(state);
  return made;
}

// Rounds a sample of the rows without the held-out inputs, and compares the error on those with nearest's:
// what a method gains on inputs that it knows may be an illusion.
Preparation LearnedRounding::judge(const PrepareRequest& request, const OutputInputs& inputs) const {
  if (!inputs.state->refusal.empty()) return nearest(inputs.state->refusal);
  const TorchScope scope(request.lane);
  const Work work(host_, request.lane, request.layer.name);
  const feedback::SampledTile sample(request);
  GridTile layer(work, sample.tile());
  const at::Tensor held_out =
      in_layer_order(held_out_of(inputs).to(work.device()), inputs.judged.factor.order);
  const double before = held_out_error(held_out, layer);
  round_for_inputs(work, sample.tile(), layer, inputs.judged, settings_, [this] { return make_rule(); });
  const double after = held_out_error(held_out, layer);
  const std::string share = fmt::format("{:.1f} %", before > 0 ? 100 * after / before : 100.0);
  if (!(after < before)) return nearest("on held-out inputs the learned error is " + share + " of nearest's");
  Preparation passed;
  passed.reason = "held-out error " + share + " of nearest's";
  if (!inputs.all.factor.note.empty()) passed.reason += "; " + inputs.all.factor.note;
  return passed;
}

void LearnedRounding::warm_up(std::uint32_t memory, std::int32_t device) const {
  torch_call([&] { warm_up_torch(memory, device); });
}

void LearnedRounding::quantize(const OptimizerState* state, octavo_lane& lane, const octavo_tile& tile,
                               octavo_tile_result& result) const {
  start_from_nearest(lane, tile, result);
  const bool refused = result.nonfinite_count > 0 && (tile.flags & OCTAVO_TILE_ZERO_NONFINITE) == 0;
  if (refused || result.signal_sum == 0) return;  // the run ends, or there is nothing to choose
  const TorchScope scope(lane);
  const Work work(host_, lane, tile.layer->name);
  const OptimizerState* const inputs = inputs_of(state);
  torch_call([&] {
    if (inputs != nullptr && minimises_output(true)) {
      learn_output(static_cast<const OutputInputs&>(*inputs), work, tile, result);
    } else {
      learn_projected(static_cast<const ProjectedInputs*>(inputs), work, tile, result);
    }
  });
}

void LearnedRounding::learn_output(const OutputInputs& inputs, const Work& work, const octavo_tile& tile,
                                   octavo_tile_result& result) const {
  const Lease lease(host_, bytes_for(tile, *make_rule()));
  GridTile layer(work, tile);
  const RowErrors errors =
      round_for_inputs(work, tile, layer, inputs.all, settings_, [this] { return make_rule(); });
  copy_metric(errors.nearest, tile, result.row_nearest_metric);
  copy_metric(errors.learned, tile, result.row_metric);
  layer.store(result);
}

void LearnedRounding::learn_projected(const ProjectedInputs* inputs, const Work& work,
                                      const octavo_tile& tile, octavo_tile_result& result) const {
  const Lease lease(host_, bytes_for(tile, *make_rule()));
  GridTile layer(work, tile);
  const std::uint64_t seed = tile.layer->seed;
  const Subspace subspace =
      inputs != nullptr && inputs->samples.defined()
          ? subspace_of_inputs(work, layer.values(), inputs->samples, settings_.subspace, seed)
          : leading_subspace(work, layer.values(), settings_.subspace, seed);
  layer.release_values();
  const ProjectedOutcome outcome =
      descend_projected(work, layer, subspace, settings_.projected(), [this] { return make_rule(); });
  work.debug(
      fmt::format("{} iterations, {} steps, {}", outcome.iterations, outcome.steps, text_of(outcome.stop)));
  layer.store(result);
  copy_text(note_of(outcome, layer.unit(), subspace.left.size(1)), result.note);
}

}  // namespace octavo::descent
