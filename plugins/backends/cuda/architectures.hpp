// What this build has code for.
#pragma once

#include <span>

namespace octavo::cuda {

// Compute capabilities (90: 9.0) that the kernels were compiled for, in ascending order.
std::span<const int> compiled_architectures();

}  // namespace octavo::cuda
