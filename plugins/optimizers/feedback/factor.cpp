// The only file that needs LibTorch: Cholesky and triangular solves, on the lane's device.
#include "feedback/factor.hpp"

#include <octavo/torch.hpp>

#include <ATen/ops/argsort.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_cholesky_ex.h>
#include <ATen/ops/linalg_solve_triangular.h>
#include <ATen/ops/zeros.h>

#include <cmath>

namespace octavo::feedback {
namespace {

HeldMatrix hold(const at::Tensor& matrix) {
  HeldMatrix held;
  held.view = view_of(matrix);
  held.memory = std::make_shared<at::Tensor>(matrix);
  return held;
}

const at::Tensor& tensor_of(const HeldMatrix& held) {
  return *static_cast<const at::Tensor*>(held.memory.get());
}

// Copies a matrix in the lane's memory to the host.
at::Tensor to_host(octavo_lane& lane, const octavo_tensor& matrix) {
  at::Tensor copy = at::empty({matrix.shape[0], matrix.shape[1]}, at::kFloat);
  copy_bytes(lane, copy.data_ptr(), OCTAVO_MEMORY_HOST, matrix.data, lane.memory,
             static_cast<std::uint64_t>(copy.numel()) * sizeof(float));
  wait_for(lane);
  return copy;
}

// Pivots that are positive numbers; a factor that is not finite shows there.
bool is_positive(const at::Tensor& pivots) {
  const at::Tensor values = pivots.cpu().contiguous();
  const float* first = values.const_data_ptr<float>();
  return std::all_of(first, first + values.numel(),
                     [](float value) { return std::isfinite(value) && value > 0.0f; });
}

// C of H = C C^T as rows, or nothing. The upper factor in the columns' order is the lower one in the rows'.
std::optional<at::Tensor> cholesky(const at::Tensor& hessian) {
  const auto [upper, info] = at::linalg_cholesky_ex(hessian, /*upper=*/true);
  if (info.item<int>() != 0) return std::nullopt;
  at::Tensor lower = upper.mT().contiguous().to(at::kFloat);
  if (!is_positive(lower.diagonal())) return std::nullopt;
  return lower;
}

struct Attempt {
  at::Tensor lower;
  double damping;
  std::string note;
};

// `hessian` has its own diagonal again afterwards, plus the damping that worked.
std::optional<Attempt> factor_with_escalation(at::Tensor& hessian, double damping) {
  const at::Tensor diagonal = hessian.diagonal().clone();
  const auto damp = [&](double by) { hessian.diagonal().copy_(diagonal.add(by)); };
  double tried = damping;
  for (int attempt = 0; attempt <= 3; ++attempt, tried *= 10) {
    damp(tried);
    if (auto lower = cholesky(hessian)) {
      std::string note = attempt == 0 ? "" : "damping was raised to " + std::to_string(tried);
      return Attempt{*std::move(lower), tried, std::move(note)};
    }
  }
  damp(damping);
  if (auto lower = cholesky(hessian.to(at::kDouble)))
    return Attempt{*std::move(lower), damping, "the factor took double precision"};
  return std::nullopt;
}

std::vector<std::int64_t> to_vector(const at::Tensor& indices) {
  const at::Tensor host = indices.cpu();
  const auto* first = host.const_data_ptr<std::int64_t>();
  return {first, first + host.numel()};
}

}  // namespace

OnLane::OnLane(octavo_lane& lane, const HeldMatrix& matrix) : view_(matrix.view) {
  if ((view_.memory == OCTAVO_MEMORY_DEVICE) == on_device(lane)) return;
  copy_ = LaneMatrix(lane, OCTAVO_F32, view_.shape[0], view_.shape[1]);
  copy_bytes(lane, copy_.view().data, lane.memory, view_.data, view_.memory,
             static_cast<std::uint64_t>(view_.shape[0] * view_.shape[1]) * sizeof(float));
  view_ = copy_.view();
}

double damping_of(const Settings& settings, std::int64_t samples, std::int64_t cols) {
  if (settings.damping_rule == DampingRule::fixed) return settings.damping;
  if (samples >= 4 * cols) return 0.01;
  return 2 * samples >= cols ? 0.1 : 1.0;
}

struct Hessian::Sums {
  at::Tensor matrix;
};

Hessian::Hessian(octavo_lane& lane, std::int64_t cols) {
  const TorchScope scope(lane);
  sums_ = std::make_unique<Sums>(
      Sums{at::zeros({cols, cols}, at::TensorOptions(at::kFloat).device(scope.device()))});
}

Hessian::~Hessian() = default;

void Hessian::add(octavo_lane& lane, const octavo_tensor& x) {
  const TorchScope scope(lane);
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

std::optional<Factor> Hessian::factor(const octavo_lane& lane, double damping, bool by_activity,
                                      bool keep_hessian) const {
  const TorchScope scope(lane);
  const double mean = sums_->matrix.diagonal().to(at::kDouble).mean().item<double>();
  if (!std::isfinite(mean) || mean <= 0) return std::nullopt;
  at::Tensor hessian = sums_->matrix.mul(1 / mean);
  hessian.diagonal().masked_fill_(hessian.diagonal().eq(0), 1);
  Factor made;
  if (by_activity) {  // the last column is rounded first
    const at::Tensor order =
        at::argsort(hessian.diagonal(), /*stable=*/true, /*dim=*/0, /*descending=*/false);
    hessian = hessian.index_select(0, order).index_select(1, order);
    made.order = to_vector(order);
  }
  auto attempt = factor_with_escalation(hessian, damping);
  if (!attempt) return std::nullopt;
  at::Tensor lower = std::move(attempt->lower);
  const at::Tensor diagonal = lower.diagonal().contiguous();
  const at::Tensor pivots = diagonal.square().cpu();
  made.pivots.assign(pivots.const_data_ptr<float>(), pivots.const_data_ptr<float>() + pivots.numel());
  made.lower = hold(lower.div_(diagonal));
  made.damping = attempt->damping;
  made.note = std::move(attempt->note);
  if (keep_hessian) made.hessian = hold(hessian.cpu());
  return made;
}

double expected_share(octavo_lane& lane, const Factor& factor, const octavo_tensor& x) {
  const TorchScope scope(lane);
  wait_for(lane);
  const at::Tensor& lower = tensor_of(factor.lower);
  at::Tensor rows = on_device(lane) && lower.device().is_cpu() ? to_host(lane, x) : as_tensor(x);
  if (!factor.order.empty()) {
    std::vector<std::int64_t> order = factor.order;
    const octavo_tensor view =
        tensor_view(order.data(), OCTAVO_I64, {static_cast<std::int64_t>(order.size())});
    rows = rows.index_select(1, as_tensor(view).to(rows.device()));
  }
  const at::Tensor left =
      at::linalg_solve_triangular(lower.mT(), rows, /*upper=*/true, /*left=*/false, /*unitriangular=*/true);
  const double before = rows.square().sum(at::kDouble).item<double>();
  return before > 0 ? left.square().sum(at::kDouble).item<double>() / before : 1.0;
}

}  // namespace octavo::feedback
