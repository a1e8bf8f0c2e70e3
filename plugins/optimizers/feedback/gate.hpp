// The held-out gate: is feedback better than nearest for this layer on inputs that its factor has not seen?
// With few inputs, or inputs without structure, what it gains on those it knows is an illusion.
#pragma once

#include "feedback/factor.hpp"

#include <octavo/abi/optimizer.h>
#include <octavo/optimizer.hpp>

namespace octavo::feedback {

struct GateResult {
  double feedback = 0;  // squared output error on the held-out samples, summed over the sampled rows
  double nearest = 0;
};

// Rounds a fixed sample of the layer's rows both ways with `factor` (made without the held-out samples) and
// measures ||x e^T||^2 on `held_out` (f32 [n, cols], in the grid's basis and in the factor's order of
// columns).
GateResult judge(const PrepareRequest& request, const Factor& factor, const HeldMatrix& held_out,
                 std::int64_t block);

}  // namespace octavo::feedback
