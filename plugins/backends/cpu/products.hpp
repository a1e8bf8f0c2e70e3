// Products of matrices: float, Gram matrices, and W8A8 as the consumers run it. Each returns false when it
// does not cover its operands and has done nothing; the reference does them then, or says what is wrong with
// them.
#pragma once

#include "lane_tools.hpp"

namespace octavo::cpu {

bool multiply(LaneTools& tools, const octavo_matmul& matmul);

// Both triangles; h has to be symmetric where it is accumulated into.
bool add_gram(LaneTools& tools, const octavo_tensor& x, const octavo_tensor& h, bool accumulate);

// Bit for bit the reference's result.
bool multiply_int8(LaneTools& tools, const octavo_matmul_int8& matmul);

}  // namespace octavo::cpu
