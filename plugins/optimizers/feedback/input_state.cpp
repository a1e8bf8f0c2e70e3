#include "feedback/input_state.hpp"

#include "feedback/factor_maker.hpp"
#include "feedback/samples.hpp"

#include <condition_variable>
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

// Factors, and the samples that they are made of, take much of a device's memory meanwhile: of wide layers
// few at a time, of others many. (One alone leaves most of a GPU idle.)
class DeviceTurn {
 public:
  DeviceTurn(const octavo_lane& lane, std::uint64_t bytes) : bytes_(on_device(lane) ? bytes : 0) {
    if (bytes_ == 0) return;
    std::unique_lock lock(mutex);
    given_back.wait(lock, [&] { return in_use == 0 || in_use + bytes_ <= kMostAtATime; });
    in_use += bytes_;
  }
  ~DeviceTurn() {
    if (bytes_ == 0) return;
    {
      const std::lock_guard lock(mutex);
      in_use -= bytes_;
    }
    given_back.notify_all();
  }
  DeviceTurn(const DeviceTurn&) = delete;
  DeviceTurn& operator=(const DeviceTurn&) = delete;

 private:
  static constexpr std::uint64_t kMostAtATime = std::uint64_t{512} << 20;
  static inline std::mutex mutex;
  static inline std::condition_variable given_back;
  static inline std::uint64_t in_use = 0;
  std::uint64_t bytes_;
};

// Which of the dampings serves held-out samples best; nothing where no factor can be made.
std::optional<double> searched_damping(octavo_lane& lane, FactorMaker& factors, const octavo_tensor& held_out,
                                       bool ordered) {
  std::optional<double> best;
  double lowest = 0;
  for (const double candidate : kSearched) {
    const std::optional<Factor> tried = factors.try_fitting(lane, {candidate, ordered, false});
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
  const std::int64_t known = inputs.samples.data != nullptr ? inputs.samples.shape[0] : 0;
  const FactorBytes bytes = factor_bytes(lane, settings, known, grid.cols);
  auto state = std::make_unique<InputState>(inputs.layers, Lease(Host(lane.host), bytes.judging));
  const DeviceTurn turn(lane, bytes.making);
  Samples samples(lane, inputs, grid);
  state->refusal = samples.refusal();
  if (!state->refusal.empty()) return state;
  const bool ordered = wants_order(grid, settings) && !on_device(lane);
  if (on_device(lane)) state->note = left_out_on_device(grid, settings);
  const std::unique_ptr<FactorMaker> factors = factor_maker(lane, samples, settings);
  const std::int64_t cols = inputs.samples.shape[1];
  FactorWish judged{damping_of(settings, samples.fitting().shape[0], cols), ordered, false};
  FactorWish all{damping_of(settings, samples.count(), cols), ordered, keeps_hessian(lane, settings)};
  if (!factors->needs_samples()) samples.keep_held_out(lane);
  state->refusal = kNoFactor;
  if (settings.damping_rule == DampingRule::search) {
    const std::optional<double> damping = searched_damping(lane, *factors, samples.held_out(), ordered);
    if (!damping) return state;
    judged.damping = all.damping = *damping;
  }
  std::optional<Factor> without_held_out = factors->fitting(lane, judged);
  if (!without_held_out) return state;
  std::optional<Factor> factor = factors->all(lane, all);
  if (!factor) return state;
  state->refusal.clear();
  state->judged = *std::move(without_held_out);
  state->factor = *std::move(factor);
  state->held_out = hold_rows(lane, samples.held_out(), state->judged.order);
  state->shrink_lease(bytes.judging, bytes.afterwards);
  return state;
}

}  // namespace octavo::feedback
