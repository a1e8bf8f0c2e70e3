#include "feedback/attempts.hpp"
#include "feedback/factor.hpp"
#include "feedback/held_tensors.hpp"
#include "feedback/implicit_factor.hpp"

#include <octavo/torch.hpp>

#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/scalar_tensor.h>

#include <cmath>

namespace octavo::feedback {
namespace {

// Few enough rows for LibTorch to add them up without memory of its own on a GPU, where 2,048 take up to
// 0.28 GB.
constexpr std::int64_t kRowsAtATime = 128;

// The diagonal of x^T x, f64. On a GPU the rows of a band are added up in f32: for f64 LibTorch would copy
// all of x first.
at::Tensor activity(const at::Tensor& x) {
  const at::ScalarType dtype = x.is_cuda() ? at::kFloat : at::kDouble;
  const auto norms = [&](const at::Tensor& bands) {
    return at::linalg_vector_norm(bands, 2, at::IntArrayRef{-2}, /*keepdim=*/false, dtype).to(at::kDouble);
  };
  const std::int64_t bands = x.size(0) / kRowsAtATime, rest = x.size(0) % kRowsAtATime;
  at::Tensor sums = norms(x.narrow(0, x.size(0) - rest, rest)).square();
  if (bands > 0) {
    const at::Tensor whole = x.narrow(0, 0, bands * kRowsAtATime);
    sums.add_(norms(whole.view({bands, kRowsAtATime, x.size(1)})).square().sum(at::IntArrayRef{0}));
  }
  return sums;
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
      inputs = inputs.index_select(1, order);
      added = added.index_select(0, order);
      made.order = to_vector<std::int64_t>(order);
    }
    const std::optional<ImplicitFactor> parts =
        factor_implicitly(inputs, is_last(number) ? added : added.to(at::kFloat), group_);
    if (!parts) return std::nullopt;
    made.pivots = to_vector<float>(parts->pivots.div(mean).to(at::kFloat));
    if (!are_positive(made.pivots)) return std::nullopt;
    made.lower = hold(parts->squares.to(at::kFloat));
    made.inputs = hold(inputs);
    made.gains = hold(parts->gains);
    made.note = note_of(number, made.damping, on_device(lane) && scope.device().is_cpu());
    return made;
  });
}

}  // namespace octavo::feedback
