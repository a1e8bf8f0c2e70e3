// Batches of steps by octavo's own kernels (gpu_steps.hpp).
#pragma once

#include "band.hpp"
#include "projected_descent.hpp"
#include "step_engine.hpp"

#include <memory>

namespace octavo::descent {

// Null where there is another way to go: the tensors are not on a GPU, the kernels were not built, or the
// rule or the subspaces' width is not for them.
std::unique_ptr<StepEngine> make_gpu_engine(const Work& work, GridTile& tile, const Subspace& subspace,
                                            const ProjectedSettings& settings, const Rule& rule);

}  // namespace octavo::descent
