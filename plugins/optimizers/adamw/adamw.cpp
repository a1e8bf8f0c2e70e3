// AdamW: the running mean of the gradient over the root of that of its square, and a decay that is decoupled
// from both (Loshchilov, Hutter: "Decoupled Weight Decay Regularization", arXiv 1711.05101, algorithm 2).
// What decays is how far a weight has been moved, so the pull is towards the weight that is not quantized.
#include "descent/learned_rounding.hpp"

namespace {

using namespace octavo;

class AdamWRule final : public descent::Rule {
 public:
  explicit AdamWRule(const descent::MomentSettings& settings)
      : moments_(settings), weight_decay_(settings.weight_decay) {}

  at::Tensor direction(const at::Tensor& gradient, const at::Tensor& offset,
                       std::int64_t iteration) override {
    moments_.add(gradient);
    return moments_.scaled_mean(iteration).add_(offset, weight_decay_);
  }
  std::optional<descent::gpu::Direction> on_gpu(std::int64_t iteration) const override {
    descent::gpu::Direction direction = moments_.on_gpu(iteration);
    direction.weight_decay = static_cast<float>(weight_decay_);
    return direction;
  }
  std::int64_t bytes_per_element() const override { return descent::Moments::kBytesPerElement; }

 private:
  descent::Moments moments_;
  double weight_decay_;
};

class AdamW final : public descent::LearnedRounding {
 public:
  AdamW(const Host& host, const Params& params)
      : LearnedRounding(host, params), moments_(descent::moment_settings(params)) {}

 private:
  std::unique_ptr<descent::Rule> make_rule() const override { return std::make_unique<AdamWRule>(moments_); }

  descent::MomentSettings moments_;
};

constexpr auto kParams = descent::with_own(descent::moment_params("0.01"));

}  // namespace

OCTAVO_OPTIMIZER_PLUGIN(AdamW, {.id = "adamw",
                                .version = OCTAVO_PLUGIN_VERSION,
                                .summary = "Learned rounding by AdamW",
                                .params = kParams,
                                .links = OCTAVO_PLUGIN_LINKS})
