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

// Which of the dampings serves held-out samples best; nothing where no factor can be made.
std::optional<double> searched_damping(octavo_lane& lane, Hessian& hessian, const octavo_tensor& held_out,
                                       bool ordered) {
  std::optional<double> best;
  double lowest = 0;
  for (const double candidate : kSearched) {
    const std::optional<Factor> tried = hessian.factor(lane, {candidate, ordered, false});
    if (!tried) continue;
    const double share = expected_share(lane, *tried, held_out);
    if (best && share >= lowest) continue;
    lowest = share;
    best = candidate;
  }
  return best;
}

}  // namespace

void InputState::shrink_lease(std::uint64_t bytes, std::uint64_t bytes_afterwards) {
  lease_.shrink_to(bytes);
  bytes_afterwards_ = bytes_afterwards;
}

void InputState::one_was_judged() const {
  const std::lock_guard lock(mutex_);
  if (layers_ == 0 || --layers_ > 0) return;
  judged = {};
  held_out = {};
  lease_.shrink_to(bytes_afterwards_);
}

std::unique_ptr<InputState> prepare_input_state(octavo_lane& lane, const octavo_inputs& inputs,
                                                const octavo_grid& grid, const Settings& settings) {
  const std::uint64_t matrix = static_cast<std::uint64_t>(grid.cols * grid.cols) * sizeof(float);
  const bool keeps = settings.passes > 0 && !on_device(lane);
  const bool searches = settings.damping_rule == DampingRule::search;
  auto state = std::make_unique<InputState>(inputs.layers, Lease(Host(lane.host), (keeps ? 3 : 2) * matrix));
  const Samples samples(lane, inputs, grid);
  state->refusal = samples.refusal();
  if (!state->refusal.empty()) return state;
  const bool ordered = wants_order(grid, settings) && !on_device(lane);
  if (on_device(lane)) state->note = left_out_on_device(grid, settings);

  const std::unique_lock<std::mutex> turn = turn_on_device(lane);
  Hessian fitting(lane, grid.cols);
  fitting.add(lane, samples.fitting());
  const std::int64_t cols = inputs.samples.shape[1];
  FactorWish judged{damping_of(settings, samples.fitting().shape[0], cols), ordered, false};
  FactorWish all{damping_of(settings, samples.count(), cols), ordered, keeps};
  state->refusal = kNoFactor;
  if (searches) {
    const std::optional<double> damping = searched_damping(lane, fitting, samples.held_out(), ordered);
    if (!damping) return state;
    judged.damping = all.damping = *damping;
  }
  Hessian whole = fitting.copy(lane);
  whole.add(lane, samples.held_out());
  std::optional<Factor> without_held_out = fitting.take_factor(lane, judged);
  if (!without_held_out) return state;
  std::optional<Factor> factor = whole.take_factor(lane, all);
  if (!factor) return state;
  state->refusal.clear();
  state->judged = *std::move(without_held_out);
  state->factor = *std::move(factor);
  state->held_out = hold_rows(lane, samples.held_out(), state->judged.order);
  state->shrink_lease((keeps ? 3 : 2) * matrix, (keeps ? 2 : 1) * matrix);
  return state;
}

}  // namespace octavo::feedback
