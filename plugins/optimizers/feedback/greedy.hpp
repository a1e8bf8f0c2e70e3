// Greedy passes: each code in turn moves to the exact minimiser of e H e^T in it, the others being as they
// are.
#pragma once

#include "feedback/ldlq.hpp"

#include <octavo/lane.hpp>

#include <cstdint>

namespace octavo::feedback {

// Changes codes and residual of a band in host memory whose codes are integers (I8). `hessian`: H in the
// band's order of columns, f32 [cols, cols], host. Rows are independent, and no step raises a row's metric.
// Returns how many codes have changed; stops after a pass that changes none.
std::int64_t greedy_passes(octavo_lane& lane, const Band& band, const octavo_tensor& hessian,
                           std::int64_t passes);

}  // namespace octavo::feedback
