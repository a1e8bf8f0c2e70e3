// Descent of the output error of each row, J = e H e^T, H = X^T X / n from the layer's inputs X.
#pragma once

#include "band.hpp"
#include "learning_rate.hpp"
#include "rule.hpp"
#include "work.hpp"

#include <cstdint>
#include <vector>

namespace octavo::descent {

struct OutputSettings {
  std::int64_t iterations = 200;  // proposals
  LearningRateSettings rate;
};

// J of every row in f64, in the square of the tile's unit. hessian: f32 [cols, cols] on the device of `work`,
// in the grid's basis.
std::vector<double> output_errors(const Work& work, const GridTile& tile, const at::Tensor& hessian);

// Changes tile.codes(), whatever they are at first, and never to a row of higher J, as f32 measures it. Rows
// are independent of each other.
void descend_output(const Work& work, GridTile& tile, const at::Tensor& hessian,
                    const OutputSettings& settings, const MakeRule& make_rule);

}  // namespace octavo::descent
