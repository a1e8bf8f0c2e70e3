// Between LibTorch's tensors and what a factor holds, and what Hessian and ThinHessian make of them alike.
// For sources that use LibTorch.
#pragma once

#include "feedback/factor.hpp"

#include <octavo/torch.hpp>

#include <ATen/ops/argsort.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>

namespace octavo::feedback {

inline HeldMatrix hold(const at::Tensor& matrix) {
  HeldMatrix held;
  held.view = view_of(matrix);
  held.memory = std::make_shared<at::Tensor>(matrix);
  return held;
}

inline const at::Tensor& tensor_of(const HeldMatrix& held) {
  return *static_cast<const at::Tensor*>(held.memory.get());
}

// Copies a matrix in the lane's memory to the host.
inline at::Tensor to_host(octavo_lane& lane, const octavo_tensor& matrix) {
  at::Tensor copy = at::empty({matrix.shape[0], matrix.shape[1]}, at::kFloat);
  copy_bytes(lane, copy.data_ptr(), OCTAVO_MEMORY_HOST, matrix.data, lane.memory,
             static_cast<std::uint64_t>(copy.numel()) * sizeof(float));
  wait_for(lane);
  return copy;
}

template <typename T>
std::vector<T> to_vector(const at::Tensor& values) {
  const at::Tensor host = values.cpu().contiguous();
  const auto* first = host.const_data_ptr<T>();
  return {first, first + host.numel()};
}

inline at::Tensor indices_on(const at::Tensor& where, std::vector<std::int64_t> order) {
  const octavo_tensor view = tensor_view(order.data(), OCTAVO_I64, {static_cast<std::int64_t>(order.size())});
  return as_tensor(view).to(where.device(), at::kLong, /*non_blocking=*/false, /*copy=*/true);
}

// Pivots that are positive numbers; a factor that is not finite shows there.
inline bool are_positive(const std::vector<float>& pivots) {
  return std::all_of(pivots.begin(), pivots.end(),
                     [](float value) { return std::isfinite(value) && value > 0.0f; });
}

// The last column is rounded first.
inline at::Tensor by_activity(const at::Tensor& diagonal) {
  return at::argsort(diagonal, /*stable=*/true, /*dim=*/0, /*descending=*/false);
}

}  // namespace octavo::feedback
