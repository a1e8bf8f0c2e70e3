// An f32 matrix as the sum of two bf16 ones.
#pragma once

#include "launch.hpp"
#include "view.hpp"

#include <cstdint>

namespace octavo::cuda {

// x = high + low to 16 bits of the significand: high is x rounded to bf16, low what that leaves, rounded too.
// Both packed [x.rows, x.cols].
void split_values(const Launch& launch, const View& x, std::uint16_t* high, std::uint16_t* low);

}  // namespace octavo::cuda
