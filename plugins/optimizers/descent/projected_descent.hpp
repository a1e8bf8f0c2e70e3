// Descent of |P|^2 + lambda |E|^2 over the codes of a whole layer, P = U^T E V.
#pragma once

#include "band.hpp"
#include "learning_rate.hpp"
#include "rule.hpp"
#include "subspace.hpp"
#include "work.hpp"

#include <cstdint>

namespace octavo::descent {

struct ProjectedSettings {
  double error_weight = 0.3;  // lambda
  std::int64_t iterations = 50;
  LearningRateSettings rate;
};

// Norms in units of the tile's unit.
struct ProjectedNorms {
  double projected;  // |P|
  double error;      // |E|
};

struct ProjectedOutcome {
  ProjectedNorms nearest;
  ProjectedNorms learned;
  std::int64_t iterations;
  std::int64_t steps;  // steps of one code that were accepted
  Stop stop;
};

// Changes tile.codes(), which must be nearest's; leaves them as they are where that does not lower the
// objective.
ProjectedOutcome descend_projected(const Work& work, GridTile& tile, const Subspace& subspace,
                                   const ProjectedSettings& settings, const MakeRule& make_rule);

}  // namespace octavo::descent
