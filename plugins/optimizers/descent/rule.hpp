// What tells the learned optimizers apart: how a gradient becomes a direction.
#pragma once

#include "gpu_steps.hpp"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

namespace octavo::descent {

// One for each panel of rows; keeps what the method remembers about its elements.
class Rule {
 public:
  virtual ~Rule() = default;

  // gradient, offset: f32 [rows, cols]. The gradient with respect to the codes, scaled so that each row has a
  // root mean square of 1 (or is 0). `offset`: how far each weight has been moved so far, in steps of the
  // grid. `iteration` counts from 1. Returns the direction, in steps for a learning rate of 1, or the
  // gradient itself.
  virtual at::Tensor direction(const at::Tensor& gradient, const at::Tensor& offset,
                               std::int64_t iteration) = 0;

  // The same as `direction`, for the kernels that make it on a GPU; none: they cannot, and LibTorch does.
  virtual std::optional<gpu::Direction> on_gpu(std::int64_t /*iteration*/) const { return std::nullopt; }

  // Bytes that are kept for each element.
  virtual std::int64_t bytes_per_element() const { return 0; }
};

using MakeRule = std::function<std::unique_ptr<Rule>()>;

}  // namespace octavo::descent
