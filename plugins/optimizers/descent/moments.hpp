// The moments of Adam and its relatives (Kingma, Ba: "Adam: A Method for Stochastic Optimization", arXiv
// 1412.6980, algorithm 1): running means of a gradient and of its square, corrected for having begun at 0.
#pragma once

#include "rule.hpp"

namespace octavo::descent {

struct MomentSettings {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;  // pull of the offset towards 0, the weight that is not quantized
};

class Moments {
 public:
  explicit Moments(const MomentSettings& settings) : settings_(settings) {}

  void add(const at::Tensor& gradient);
  // mean / (1 - beta1^t) and mean square / (1 - beta2^t).
  at::Tensor mean(std::int64_t iteration) const;
  // mean / (sqrt(mean square) + epsilon), both corrected.
  at::Tensor scaled_mean(std::int64_t iteration) const;

  // The same on a GPU; weight decay is the rule's business.
  gpu::Direction on_gpu(std::int64_t iteration) const;

  static constexpr std::int64_t kBytesPerElement = 8;

 private:
  MomentSettings settings_;
  at::Tensor mean_, square_;  // f32, undefined until the first gradient
};

}  // namespace octavo::descent
