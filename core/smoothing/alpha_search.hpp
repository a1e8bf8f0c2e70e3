// Which alpha is the best for a group of layers: by the error of their outputs on rows that were kept out.
#pragma once

#include "plan/smoothing.hpp"
#include "run/run.hpp"
#include "stored/band_lane.hpp"

#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace octavo::smoothing {

using OpenLane = std::function<stored::BandLane()>;

struct SearchProblem {
  const run::Sources& sources;
  const plan::Smoothing& group;
  std::span<const float> weight_max;  // of each column
  std::function<std::vector<float>(std::vector<float>)>
      storable;  // what becomes of factors when they are folded
};

// Tries 0.3, 0.4, ... 0.8 and no smoothing. Every fourth recorded row is kept out of the channel maxima that
// the factors are tried with, and at most 128 of these judge: the sum over the group's quantized layers of |X
// W^T - Q(X / s) Q(W s)^T|^2 / |X W^T|^2, with at most 256 rows of each weight, nearest on the layer's grid,
// and inputs rounded to 8 bits row by row in the grid's basis (an incoherent basis is left out of the trial).
// Returns 0 if no alpha is better than none; nothing where no rows are recorded.
std::optional<double> search_alpha(const SearchProblem& problem, const OpenLane& open_lane);

}  // namespace octavo::smoothing
