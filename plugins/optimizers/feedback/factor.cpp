// With thin_hessian.cpp, implicit_factor.cpp and panels.cpp all that needs LibTorch: Cholesky and triangular
// solves, on the lane's device. A diagonal is seen to on the host: for every other kind of operation on a GPU
// LibTorch has first to load a module, which takes up to 50 ms.
#include "feedback/factor.hpp"

#include "feedback/attempts.hpp"
#include "feedback/held_tensors.hpp"
#include "feedback/implicit_factor.hpp"
#include "feedback/panels.hpp"

#include <octavo/torch.hpp>

#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_cholesky_ex.h>
#include <ATen/ops/linalg_solve_triangular.h>
#include <ATen/ops/zeros.h>

#include <cmath>

namespace octavo::feedback {
namespace {

// C of H = C C^T, in the memory of H, or false: then nothing of H is left. LibTorch thinks in columns: there
// our lower triangle is its upper one.
bool cholesky(at::Tensor& hessian) {
  if (hessian.is_cuda() && hessian.scalar_type() == at::kFloat && hessian.size(0) > kSmallOnDevice)
    return cholesky_in_panels(hessian);
  at::Tensor columns = hessian.mT(), info = at::empty({}, hessian.options().dtype(at::kInt));
  at::linalg_cholesky_ex_out(columns, info, columns, /*upper=*/true);
  return info.item<int>() == 0;
}

// Scaled to a mean diagonal of 1, a channel that is never active given 1. False where it has no such mean.
bool normalize(at::Tensor& hessian) {
  const at::Tensor diagonal = hessian.diagonal().cpu();
  const double mean = diagonal.to(at::kDouble).mean().item<double>();
  if (!std::isfinite(mean) || mean <= 0) return false;
  const at::Tensor never_active =
      diagonal.mul(1 / mean).eq(0);  // on the host `diagonal` is part of `hessian`
  hessian.mul_(1 / mean);
  if (never_active.any().item<bool>())
    hessian.diagonal().add_(never_active.to(at::kFloat).to(hessian.device()));
  return true;
}

}  // namespace

OnLane::OnLane(octavo_lane& lane, const HeldMatrix& matrix) : view_(matrix.view) {
  if (view_.data == nullptr || (view_.memory == OCTAVO_MEMORY_DEVICE) == on_device(lane)) return;
  copy_ = LaneMatrix(lane, view_.dtype, view_.shape[0], view_.shape[1]);
  copy_bytes(lane, copy_.view().data, lane.memory, view_.data, view_.memory,
             static_cast<std::uint64_t>(view_.shape[0] * view_.shape[1]) * bytes_of(view_.dtype));
  view_ = copy_.view();
}

void load_linear_algebra(std::uint32_t memory, std::int32_t device) {
  torch_call([&] { warm_up_torch(memory, device); });
}

double damping_of(const Settings& settings, std::int64_t samples, std::int64_t cols) {
  if (settings.damping_rule == DampingRule::fixed) return settings.damping;
  if (samples >= 4 * cols) return 0.01;
  return 2 * samples >= cols ? 0.1 : 1.0;
}

struct Hessian::Sums {
  at::Tensor matrix;
};

HeldMatrix hold_rows(octavo_lane& lane, const octavo_tensor& rows, const std::vector<std::int64_t>& order) {
  wait_for(lane);
  const TorchScope scope(lane);
  const at::Tensor source =
      on_device(lane) && scope.device().is_cpu() ? to_host(lane, rows) : as_tensor(rows);
  return torch_call([&] {
    return hold(order.empty() ? source.clone() : source.index_select(1, indices_on(source, order)));
  });
}

Hessian::Hessian(octavo_lane& lane, std::int64_t cols) {
  const TorchScope scope(lane);
  sums_ = torch_call([&] {
    return std::make_unique<Sums>(
        Sums{at::zeros({cols, cols}, at::TensorOptions(at::kFloat).device(scope.device()))});
  });
}

Hessian::~Hessian() = default;
Hessian::Hessian(Hessian&&) noexcept = default;

Hessian Hessian::copy(octavo_lane& lane) const {
  Hessian made(lane, 0);
  const TorchScope scope(lane);
  made.sums_->matrix = torch_call([&] { return sums_->matrix.clone(); });
  made.added_ = added_;
  return made;
}

void Hessian::add(octavo_lane& lane, const octavo_tensor& x) {
  const TorchScope scope(lane);
  sum(lane, x);
  added_.push_back(x);
}

void Hessian::sum(octavo_lane& lane, const octavo_tensor& x) {
  octavo_tensor sums = view_of(sums_->matrix);
  if ((sums.memory == OCTAVO_MEMORY_DEVICE) == on_device(lane)) {
    issue(lane, &octavo_operations::gram, &x, &sums, 1u);
    wait_for(lane);
    return;
  }
  LaneMatrix part(lane, OCTAVO_F32, sums.shape[0], sums.shape[1]);
  issue(lane, &octavo_operations::gram, &x, &part.view(), 0u);
  sums_->matrix.add_(to_host(lane, part.view()));
}

void Hessian::sum_again(octavo_lane& lane) {
  {
    const TorchScope scope(lane);
    sums_->matrix.zero_();
  }
  const TorchScope scope(lane);
  for (const octavo_tensor& x : added_) sum(lane, x);
}

std::optional<Factor> Hessian::factor(octavo_lane& lane, const FactorWish& wish) {
  return attempts(lane, Use::copy, wish);
}

std::optional<Factor> Hessian::take_factor(octavo_lane& lane, const FactorWish& wish) {
  return attempts(lane, Use::take, wish);
}

// Every attempt begins with the sums, because one that fails leaves nothing of its matrix.
std::optional<Factor> Hessian::attempts(octavo_lane& lane, Use use, const FactorWish& wish) {
  return first_success([&](int number) {
    if (use == Use::take && number > 0) sum_again(lane);
    return attempt(lane, use, wish, number);
  });
}

std::optional<Factor> Hessian::attempt(const octavo_lane& lane, Use use, const FactorWish& wish, int number) {
  const TorchScope scope(lane);
  const double damping = damping_at(wish, number);
  return torch_call([&]() -> std::optional<Factor> {
    at::Tensor hessian = use == Use::take ? sums_->matrix : sums_->matrix.clone();
    if (!normalize(hessian)) return std::nullopt;
    Factor made;
    if (wish.by_activity) {
      const at::Tensor order = by_activity(hessian.diagonal());
      hessian = hessian.index_select(0, order).index_select(1, order);
      made.order = to_vector<std::int64_t>(order);
    }
    hessian.diagonal().add_(damping);
    if (wish.keep_hessian) made.hessian = hold(hessian.cpu().clone());
    if (is_last(number)) hessian = hessian.to(at::kDouble);
    if (!cholesky(hessian)) return std::nullopt;
    at::Tensor lower = hessian.to(at::kFloat);
    const at::Tensor diagonal = lower.diagonal().contiguous(), roots = diagonal.cpu();
    if (!are_positive(to_vector<float>(roots))) return std::nullopt;
    made.pivots = to_vector<float>(roots.square());
    made.lower = hold(lower.div_(diagonal));
    made.damping = damping;
    made.note = note_of(number, damping, on_device(lane) && scope.device().is_cpu());
    if (use == Use::take) sums_->matrix.reset();
    return made;
  });
}

double expected_share(octavo_lane& lane, const Factor& factor, const octavo_tensor& x) {
  const TorchScope scope(lane);
  wait_for(lane);
  return torch_call([&] {
    const at::Tensor& lower = tensor_of(factor.lower);
    at::Tensor rows = on_device(lane) && lower.device().is_cpu() ? to_host(lane, x) : as_tensor(x);
    if (!factor.order.empty()) rows = rows.index_select(1, indices_on(rows, factor.order));
    const at::Tensor left =
        factor.inputs.memory
            ? solve_implicitly(lower, tensor_of(factor.inputs), tensor_of(factor.gains), rows)
            : at::linalg_solve_triangular(lower.mT(), rows, /*upper=*/true, /*left=*/false,
                                          /*unitriangular=*/true);
    const double before = rows.square().sum(at::kDouble).item<double>();
    return before > 0 ? left.square().sum(at::kDouble).item<double>() / before : 1.0;
  });
}

}  // namespace octavo::feedback
