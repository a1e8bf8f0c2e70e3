#include "feedback/input_state.hpp"

#include "feedback/lane_steps.hpp"
#include "feedback/samples.hpp"

#include <algorithm>

namespace octavo::feedback {
namespace {

constexpr double kSearched[] = {0.01, 0.1, 1.0};
constexpr const char* kNoFactor = "its Hessian has no Cholesky factor at any damping";

// A rotation evens the diagonal out, so that there the order changes nothing. On a device columns stay where
// they are: it has no operation that gathers them.
bool orders_columns(const octavo_lane& lane, const octavo_grid& grid, const Settings& settings) {
  if (on_device(lane) || settings.order == ColumnOrder::natural) return false;
  return settings.order == ColumnOrder::by_activity || grid.basis == OCTAVO_BASIS_PLAIN;
}

std::vector<float> held_out_rows(octavo_lane& lane, const octavo_tensor& samples,
                                 const std::vector<std::int64_t>& order) {
  const HostCopy copy(lane, samples);
  std::vector<float> rows;
  rows.reserve(static_cast<std::size_t>(samples.shape[0] * samples.shape[1]));
  for (std::int64_t r = 0; r < samples.shape[0]; ++r) {
    const float* row = row_of<float>(copy.view(), r);
    if (order.empty()) rows.insert(rows.end(), row, row + samples.shape[1]);
    for (const std::int64_t col : order) rows.push_back(row[col]);
  }
  return rows;
}

}  // namespace

std::unique_ptr<InputState> prepare_input_state(octavo_lane& lane, const octavo_inputs& inputs,
                                                const octavo_grid& grid, const Settings& settings) {
  auto state = std::make_unique<InputState>();
  const std::int64_t matrix = grid.cols * grid.cols * static_cast<std::int64_t>(sizeof(float));
  state->lease = Lease(lane.host, 3 * matrix);
  const Samples samples(lane, inputs, grid);
  state->refusal = samples.refusal();
  if (!state->refusal.empty()) return state;
  const bool ordered = orders_columns(lane, grid, settings);
  const octavo_tensor fitting = samples.fitting(), held_out = samples.held_out();

  Hessian hessian(lane, grid.cols);
  hessian.add(lane, fitting);
  std::optional<Factor> judged;
  double damping = 0;
  if (settings.damping_rule == DampingRule::search) {
    double best = 0;
    for (const double candidate : kSearched) {
      std::optional<Factor> tried = hessian.factor(lane, candidate, ordered, false);
      if (!tried) continue;
      const double share = expected_share(lane, *tried, held_out);
      if (judged && share >= best) continue;
      best = share;
      damping = candidate;
      judged = std::move(tried);
    }
  } else {
    judged =
        hessian.factor(lane, damping_of(settings, fitting.shape[0], inputs.samples.shape[1]), ordered, false);
    damping = damping_of(settings, samples.count(), inputs.samples.shape[1]);
  }
  hessian.add(lane, held_out);
  std::optional<Factor> factor;
  if (judged) factor = hessian.factor(lane, damping, ordered, settings.passes > 0 && !on_device(lane));
  if (!factor) {
    state->refusal = kNoFactor;
    return state;
  }
  state->held_out = held_out_rows(lane, held_out, judged->order);
  state->held_out_count = held_out.shape[0];
  state->judged = *std::move(judged);
  state->factor = *std::move(factor);
  state->lease.shrink_to((state->factor.hessian ? 3 : 2) * matrix);
  return state;
}

}  // namespace octavo::feedback
