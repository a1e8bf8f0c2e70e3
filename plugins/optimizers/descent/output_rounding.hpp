// Learned rounding of a tile for given inputs: proposals, greedy passes, and the better of before and after
// for each row.
#pragma once

#include "band.hpp"
#include "feedback/factor.hpp"
#include "parameters.hpp"
#include "rule.hpp"
#include "work.hpp"

#include <vector>

namespace octavo::descent {

// What layers with the same inputs share: their Hessian H = L D L^T, f32 on LibTorch's device, and its
// factor.
struct InputHessian {
  InputHessian() = default;
  InputHessian(const Work& work, feedback::Factor from);

  feedback::Factor factor;
  at::Tensor matrix;  // f32 [cols, cols], in the layer's order of columns
};

// Columns in a factor's order (empty: the layer's) as the layer has them.
at::Tensor in_layer_order(const at::Tensor& columns, const std::vector<std::int64_t>& order);

// e H e^T of each row of codes, in the square of the weights' unit.
struct RowErrors {
  std::vector<double> nearest;
  std::vector<double> learned;  // never above nearest's
};

// `layer` is made from `tile` and holds nearest's codes; they are changed.
RowErrors round_for_inputs(const Work& work, const octavo_tile& tile, GridTile& layer,
                           const InputHessian& hessian, const Settings& settings, const MakeRule& make_rule);

}  // namespace octavo::descent
