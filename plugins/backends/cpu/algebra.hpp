// Sums of differences, low-rank merges and rounding with feedback on the kernels. Each returns false when it
// does not cover its operands and has done nothing; the reference does them then.
#pragma once

#include "lane_tools.hpp"

namespace octavo::cpu {

bool sum_differences(LaneTools& tools, const octavo_tensor& a, const octavo_tensor& b,
                     octavo_error_sums& sums);

bool merge_low_rank(LaneTools& tools, const octavo_tensor& source, const octavo_tensor& up,
                    const octavo_tensor& down, float strength, const octavo_tensor& target);

bool round_with_feedback(LaneTools& tools, const octavo_feedback& feedback);

}  // namespace octavo::cpu
