#include "feedback/factor_maker.hpp"

#include "feedback/triangle.hpp"

#include <algorithm>
#include <utility>

namespace octavo::feedback {
namespace {

// The sums of all samples are those that are fitted to and the others.
class WholeFactors final : public FactorMaker {
 public:
  WholeFactors(octavo_lane& lane, const Samples& samples)
      : fitting_(lane, samples.all().shape[1]), held_out_(samples.held_out()) {
    fitting_.add(lane, samples.fitting());
  }

  bool needs_samples() const override { return true; }
  std::optional<Factor> try_fitting(octavo_lane& lane, const FactorWish& wish) override {
    return fitting_.factor(lane, wish);
  }
  std::optional<Factor> fitting(octavo_lane& lane, const FactorWish& wish) override {
    all_.emplace(fitting_.copy(lane)).add(lane, held_out_);
    return fitting_.take_factor(lane, wish);
  }
  std::optional<Factor> all(octavo_lane& lane, const FactorWish& wish) override {
    return all_->take_factor(lane, wish);
  }

 private:
  Hessian fitting_;
  octavo_tensor held_out_;
  std::optional<Hessian> all_;
};

class ImplicitFactors final : public FactorMaker {
 public:
  ImplicitFactors(octavo_lane& lane, const Samples& samples, std::int64_t group)
      : hessian_(lane, samples.all(), group), fitting_(samples.fitting().shape[0]), all_(samples.count()) {}

  bool needs_samples() const override { return false; }
  std::optional<Factor> try_fitting(octavo_lane& lane, const FactorWish& wish) override {
    return hessian_.factor(lane, fitting_, wish);
  }
  std::optional<Factor> fitting(octavo_lane& lane, const FactorWish& wish) override {
    return try_fitting(lane, wish);
  }
  std::optional<Factor> all(octavo_lane& lane, const FactorWish& wish) override {
    return hessian_.factor(lane, all_, wish);
  }

 private:
  ThinHessian hessian_;
  std::int64_t fitting_, all_;
};

// Greedy passes and learned rounding want whole ones; otherwise implicit ones serve up to a quarter as many
// samples as columns: above that they take as much memory and more time.
bool are_implicit(const octavo_lane& lane, const Settings& settings, std::int64_t samples,
                  std::int64_t cols) {
  return !settings.whole_factors && !keeps_hessian(lane, settings) && 4 * samples <= cols;
}

}  // namespace

bool keeps_hessian(const octavo_lane& lane, const Settings& settings) {
  return settings.passes > 0 && !on_device(lane);
}

FactorBytes factor_bytes(const octavo_lane& lane, const Settings& settings, std::int64_t samples,
                         std::int64_t cols) {
  const auto floats = [](std::int64_t count) { return static_cast<std::uint64_t>(count) * sizeof(float); };
  if (!are_implicit(lane, settings, samples, cols)) {
    const std::uint64_t matrix = floats(cols * cols), kept = keeps_hessian(lane, settings) ? matrix : 0;
    return {2 * matrix + kept + 2 * floats(samples * cols), 2 * matrix + kept, matrix + kept};
  }
  const std::uint64_t thin = floats(samples * cols) / (on_device(lane) ? 2 : 1),
                      squares = floats(cols * group_of(lane, settings.block));
  const std::uint64_t judging = 3 * thin + 2 * squares;
  const std::uint64_t factoring = judging + floats(samples * cols) / 4 + floats(samples * samples);
  return {std::max(2 * floats(samples * cols), factoring), judging, 2 * thin + squares};
}

std::unique_ptr<FactorMaker> factor_maker(octavo_lane& lane, const Samples& samples,
                                          const Settings& settings) {
  if (are_implicit(lane, settings, samples.count(), samples.all().shape[1]))
    return std::make_unique<ImplicitFactors>(lane, samples, group_of(lane, settings.block));
  return std::make_unique<WholeFactors>(lane, samples);
}

}  // namespace octavo::feedback
