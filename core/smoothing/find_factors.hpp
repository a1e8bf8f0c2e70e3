// The factors of a plan's smoothed layers: what is read of weights and inputs before the run.
#pragma once

#include "plan/plan.hpp"
#include "report/compare.hpp"
#include "run/run.hpp"

namespace octavo::smoothing {

// Fills factors and alpha of every group of the plan. Column maxima are those of the layers of the group that
// are quantized; channel maxima those of the file, else of the recorded rows that are kept. A norm's factors
// are such that its dtype holds the divided gain: s = gain / stored gain, so that folding rounds nothing.
// Class B. `lanes` are opened for a search only. Throws Error as reading, lanes and `check_stop` do. Appends
// a note to the plan where something else than what was asked for is done.
void find_factors(plan::Plan& plan, const run::Sources& sources, const report::CompareOptions& lanes);

}  // namespace octavo::smoothing
