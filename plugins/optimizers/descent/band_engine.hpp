// Batches of steps by LibTorch, in bands of rows: on the CPU, and on a GPU that the kernels are not built
// for.
#pragma once

#include "band.hpp"
#include "projected_descent.hpp"
#include "step_engine.hpp"

#include <memory>

namespace octavo::descent {

std::unique_ptr<StepEngine> make_band_engine(const Work& work, GridTile& tile, const Subspace& subspace,
                                             const ProjectedSettings& settings, const MakeRule& make_rule);

}  // namespace octavo::descent
