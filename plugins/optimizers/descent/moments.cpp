#include "moments.hpp"

#include <ATen/ops/zeros_like.h>

#include <cmath>

namespace octavo::descent {
namespace {

constexpr double kGoldenSection =
    0.6180339887498949;  // whose multiples are spread evenly over the whole numbers

}  // namespace

void Moments::add(const at::Tensor& gradient) {
  if (!mean_.defined()) {
    mean_ = at::zeros_like(gradient);
    square_ = at::zeros_like(gradient);
  }
  mean_.mul_(settings_.beta1).add_(gradient, 1 - settings_.beta1);
  square_.mul_(settings_.beta2).addcmul_(gradient, gradient, 1 - settings_.beta2);
}

at::Tensor Moments::mean(std::int64_t iteration) const {
  return mean_.div(1 - std::pow(settings_.beta1, static_cast<double>(iteration)));
}

at::Tensor Moments::scaled_mean(std::int64_t iteration) const {
  const double bias = 1 - std::pow(settings_.beta2, static_cast<double>(iteration));
  const at::Tensor root = square_.div(bias).sqrt_().add_(settings_.epsilon);
  return mean(iteration).div_(root);
}

gpu::Direction Moments::on_gpu(std::int64_t iteration) const {
  const auto t = static_cast<double>(iteration);
  gpu::Direction direction;
  direction.moments = true;
  direction.beta1 = static_cast<float>(settings_.beta1);
  direction.epsilon = static_cast<float>(settings_.epsilon);
  direction.mean_factor = static_cast<float>(1 / (1 - std::pow(settings_.beta1, t)));
  direction.square_gain = static_cast<float>((1 - settings_.beta2) / (1 - std::pow(settings_.beta2, t)));
  direction.dither = static_cast<float>(std::fmod(t * kGoldenSection, 1.0) - 0.5);
  return direction;
}

}  // namespace octavo::descent
