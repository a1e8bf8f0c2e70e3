#include "feedback/input_state.hpp"

#include "feedback/samples.hpp"

#include <mutex>
#include <optional>
#include <utility>

namespace octavo::feedback {
namespace {

constexpr double kSearched[] = {0.01, 0.1, 1.0};
constexpr const char* kNoFactor = "its Hessian has no Cholesky factor at any damping";

// A rotation evens the diagonal out, so that there the order changes nothing.
bool wants_order(const octavo_grid& grid, const Settings& settings) {
  if (settings.order == ColumnOrder::natural) return false;
  return settings.order == ColumnOrder::by_activity || grid.basis == OCTAVO_BASIS_PLAIN;
}

// A device has no operation that gathers columns or goes along a row code by code.
std::string left_out_on_device(const octavo_grid& grid, const Settings& settings) {
  const bool order = wants_order(grid, settings), passes = settings.passes > 0;
  if (!order && !passes) return {};
  const std::string what = order && passes ? "neither the order of columns nor greedy passes"
                           : order         ? "no order of columns"
                                           : "no greedy passes";
  return what + " on this device: --device cpu has them";
}

// A factor takes much of a device's memory while it is made, so there they are made one after the other.
std::unique_lock<std::mutex> turn_on_device(const octavo_lane& lane) {
  static std::mutex turn;
  return on_device(lane) ? std::unique_lock(turn) : std::unique_lock<std::mutex>();
}

// The factor without held-out samples and the damping that the other one is made with.
std::optional<Factor> judged_factor(octavo_lane& lane, Hessian& hessian, const Samples& samples,
                                    const Settings& settings, std::int64_t cols, bool ordered,
                                    double& damping) {
  const octavo_tensor fitting = samples.fitting();
  damping = damping_of(settings, samples.count(), cols);
  if (settings.damping_rule != DampingRule::search)
    return hessian.factor(lane, damping_of(settings, fitting.shape[0], cols), ordered, false);
  std::optional<Factor> best;
  double lowest = 0;
  for (const double candidate : kSearched) {
    std::optional<Factor> tried = hessian.factor(lane, candidate, ordered, false);
    if (!tried) continue;
    const double share = expected_share(lane, *tried, samples.held_out());
    if (best && share >= lowest) continue;
    lowest = share;
    damping = candidate;
    best = std::move(tried);
  }
  return best;
}

}  // namespace

std::unique_ptr<InputState> prepare_input_state(octavo_lane& lane, const octavo_inputs& inputs,
                                                const octavo_grid& grid, const Settings& settings) {
  auto state = std::make_unique<InputState>();
  const std::int64_t matrix = grid.cols * grid.cols * static_cast<std::int64_t>(sizeof(float));
  const bool keeps = settings.passes > 0 && !on_device(lane);
  const bool searches = settings.damping_rule == DampingRule::search;
  state->lease = Lease(lane.host, (keeps || searches ? 3 : 2) * matrix);
  const Samples samples(lane, inputs, grid);
  state->refusal = samples.refusal();
  if (!state->refusal.empty()) return state;
  const bool ordered = wants_order(grid, settings) && !on_device(lane);
  if (on_device(lane)) state->note = left_out_on_device(grid, settings);

  const std::unique_lock<std::mutex> turn = turn_on_device(lane);
  Hessian hessian(lane, grid.cols);
  hessian.add(lane, samples.fitting());
  double damping = 0;
  std::optional<Factor> judged =
      judged_factor(lane, hessian, samples, settings, inputs.samples.shape[1], ordered, damping);
  hessian.add(lane, samples.held_out());
  std::optional<Factor> factor;
  if (judged) factor = hessian.take_factor(lane, damping, ordered, keeps);
  if (!factor) {
    state->refusal = kNoFactor;
    return state;
  }
  state->held_out = hold_rows(lane, samples.held_out(), judged->order);
  state->judged = *std::move(judged);
  state->factor = *std::move(factor);
  state->lease.shrink_to((keeps ? 3 : 2) * matrix);
  return state;
}

}  // namespace octavo::feedback
