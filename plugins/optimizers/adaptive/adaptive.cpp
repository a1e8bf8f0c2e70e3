// Adaptive: straight down the gradient; what adapts is the learning rate. convert_to_quant's default,
// `original`.
#include "descent/learned_rounding.hpp"

namespace {

using namespace octavo;

class Downhill final : public descent::Rule {
 public:
  at::Tensor direction(const at::Tensor& gradient, const at::Tensor&, std::int64_t) override {
    return gradient;
  }
  std::optional<descent::gpu::Direction> on_gpu(std::int64_t) const override {
    return descent::gpu::Direction{};
  }
};

class Adaptive final : public descent::LearnedRounding {
 public:
  using LearnedRounding::LearnedRounding;

 private:
  std::unique_ptr<descent::Rule> make_rule() const override { return std::make_unique<Downhill>(); }
};

}  // namespace

OCTAVO_OPTIMIZER_PLUGIN(Adaptive,
                        {.id = "adaptive",
                         .version = OCTAVO_PLUGIN_VERSION,
                         .summary = "Learned rounding along the gradient, with an adaptive learning rate",
                         .params = descent::kParams,
                         .links = OCTAVO_PLUGIN_LINKS})
