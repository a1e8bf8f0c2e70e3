#include "feedback/attempts.hpp"
#include "feedback/factor.hpp"
#include "feedback/held_tensors.hpp"
#include "feedback/implicit_factor.hpp"

#include <octavo/torch.hpp>

#include <ATen/ops/empty.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

namespace octavo::feedback {
namespace {

// As many rows as are squared at a time, and of these as many as are added up in f32 on a GPU.
constexpr std::int64_t kRowsAtATime = 512, kBand = 128;

// The diagonal of x^T x, f64, in host memory. (LibTorch's norm of columns would copy all of x to f64 and take
// 0.27 GB of a GPU's memory beside that.)
at::Tensor activity(const at::Tensor& x) {
  const std::int64_t rows = x.size(0), cols = x.size(1);
  const at::ScalarType dtype = x.is_cuda() ? at::kFloat : at::kDouble;
  at::Tensor sums = at::zeros({cols}, x.options().dtype(at::kDouble));
  for (std::int64_t begin = 0; begin < rows; begin += kRowsAtATime) {
    const std::int64_t count = std::min(kRowsAtATime, rows - begin), whole = count / kBand * kBand;
    at::Tensor part = x.narrow(0, begin, count).to(dtype, /*non_blocking=*/false, /*copy=*/true);
    part.mul_(part);
    const at::Tensor bands = part.narrow(0, 0, whole).view({whole / kBand, kBand, cols});
    sums.add_(bands.sum(at::IntArrayRef{1}).to(at::kDouble).sum(at::IntArrayRef{0}));
    if (whole < count) sums.add_(part.narrow(0, whole, count - whole).sum(at::IntArrayRef{0}));
  }
  return sums.cpu();
}

}  // namespace

// The inputs are scaled to a mean diagonal of the Hessian of 1, which keeps them (up to the root of the
// columns) and the gains (up to 1 / sqrt(4 damping)) within the range of f16. That is what they are in on a
// device, and the factor is that of these, exactly.
ThinHessian::ThinHessian(octavo_lane& lane, const octavo_tensor& x, std::int64_t group) : group_(group) {
  wait_for(lane);
  const TorchScope scope(lane);
  inputs_ = torch_call([&] {
    const at::Tensor source = on_device(lane) && scope.device().is_cpu() ? to_host(lane, x) : as_tensor(x);
    const double mean = activity(source).mean().item<double>();
    const double by = std::isfinite(mean) && mean > 0 ? 1 / std::sqrt(mean) : 1;
    at::Tensor scaled =
        at::empty(source.sizes(), source.options().dtype(source.is_cuda() ? at::kHalf : at::kFloat));
    return hold(at::mul_out(scaled, source, at::scalar_tensor(by, at::kFloat)));
  });
}

std::optional<Factor> ThinHessian::factor(octavo_lane& lane, std::int64_t samples, const FactorWish& wish) {
  return first_success([&](int number) { return attempt(lane, samples, wish, number); });
}

std::optional<Factor> ThinHessian::attempt(const octavo_lane& lane, std::int64_t samples,
                                           const FactorWish& wish, int number) {
  const TorchScope scope(lane);
  return torch_call([&]() -> std::optional<Factor> {
    at::Tensor inputs = tensor_of(inputs_).narrow(0, 0, samples);
    at::Tensor diagonal = activity(inputs);
    const double mean = diagonal.mean().item<double>();
    if (!std::isfinite(mean) || mean <= 0) return std::nullopt;
    const at::Tensor never_active = diagonal.eq(0);
    Factor made;
    made.damping = damping_at(wish, number);
    at::Tensor added = never_active.to(at::kDouble).add_(made.damping).mul_(mean);
    if (wish.by_activity) {
      const at::Tensor order = by_activity(diagonal.masked_fill(never_active, mean));
      inputs = inputs.index_select(1, order.to(inputs.device()));
      added = added.index_select(0, order);
      made.order = to_vector<std::int64_t>(order);
    }
    const std::optional<ImplicitFactor> parts = factor_implicitly(
        inputs, (is_last(number) ? added : added.to(at::kFloat)).to(inputs.device()), group_);
    if (!parts) return std::nullopt;
    made.pivots = to_vector<float>(parts->pivots.cpu().div(mean).to(at::kFloat));
    if (!are_positive(made.pivots)) return std::nullopt;
    made.lower = hold(parts->squares.to(at::kFloat));
    made.inputs = hold(inputs);
    made.gains = hold(parts->gains);
    made.note = note_of(number, made.damping, on_device(lane) && scope.device().is_cpu());
    return made;
  });
}

}  // namespace octavo::feedback
