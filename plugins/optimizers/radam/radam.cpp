// RAdam: Adam whose step is scaled by how well the variance of the gradient is known, and which is plain
// momentum while it is not (Liu et al.: "On the Variance of the Adaptive Learning Rate and Beyond", arXiv
// 1908.03265, algorithm 2).
#include "descent/learned_rounding.hpp"

#include <cmath>

namespace {

using namespace octavo;

class RAdamRule final : public descent::Rule {
 public:
  explicit RAdamRule(const descent::MomentSettings& settings) : moments_(settings), settings_(settings) {}

  at::Tensor direction(const at::Tensor& gradient, const at::Tensor& offset,
                       std::int64_t iteration) override {
    moments_.add(gradient);
    return rectified(iteration).add_(offset, settings_.weight_decay);
  }
  std::optional<descent::gpu::Direction> on_gpu(std::int64_t iteration) const override {
    descent::gpu::Direction direction = moments_.on_gpu(iteration);
    direction.weight_decay = static_cast<float>(settings_.weight_decay);
    const double factor = rectification(iteration);
    direction.by_row_size = factor == 0;
    direction.factor = static_cast<float>(factor);
    return direction;
  }
  std::int64_t bytes_per_element() const override { return descent::Moments::kBytesPerElement; }

 private:
  // 0 while the variance is not known.
  double rectification(std::int64_t iteration) const {
    const auto t = static_cast<double>(iteration);
    const double power = std::pow(settings_.beta2, t);
    const double longest = 2 / (1 - settings_.beta2) - 1;
    const double length = longest - 2 * t * power / (1 - power);  // of the moving average, rho_t
    if (length <= 5) return 0;
    return std::sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length));
  }
  at::Tensor rectified(std::int64_t iteration) const {
    const double factor = rectification(iteration);
    return factor == 0 ? momentum(iteration) : moments_.scaled_mean(iteration).mul_(factor);
  }
  // Each row to a root mean square of 1, as the gradient was.
  at::Tensor momentum(std::int64_t iteration) const {
    const at::Tensor mean = moments_.mean(iteration);
    const at::Tensor size = mean.square().mean(1, /*keepdim=*/true).sqrt_().clamp_min_(1e-30);
    return mean.div(size);
  }

  descent::Moments moments_;
  descent::MomentSettings settings_;
};

class RAdam final : public descent::LearnedRounding {
 public:
  RAdam(const Host& host, const Params& params)
      : LearnedRounding(host, params), moments_(descent::moment_settings(params)) {}

 private:
  std::unique_ptr<descent::Rule> make_rule() const override { return std::make_unique<RAdamRule>(moments_); }

  descent::MomentSettings moments_;
};

constexpr auto kParams = descent::with_own(descent::moment_params("0"));

}  // namespace

OCTAVO_OPTIMIZER_PLUGIN(RAdam, {.id = "radam",
                                .version = OCTAVO_PLUGIN_VERSION,
                                .summary = "Learned rounding by rectified Adam",
                                .params = kParams,
                                .links = OCTAVO_PLUGIN_LINKS})
