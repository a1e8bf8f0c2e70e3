#include "smoothing/formula.hpp"

#include <algorithm>
#include <cmath>

namespace octavo::smoothing {
namespace {

constexpr double kSmallest = 1e-5;

float factor(double input, double weight, double alpha) {
  if (input == 0) return 1;
  const double value = std::pow(input, alpha) / std::pow(weight, 1 - alpha);
  const auto rounded = static_cast<float>(std::max(value, kSmallest));
  return std::isfinite(rounded) ? rounded : 1.0F;
}

}  // namespace

std::vector<float> smooth_factors(std::span<const float> input_max, std::span<const float> weight_max,
                                  double alpha) {
  std::vector<float> factors(input_max.size());
  for (size_t j = 0; j < factors.size(); ++j) factors[j] = factor(input_max[j], weight_max[j], alpha);
  return factors;
}

}  // namespace octavo::smoothing
