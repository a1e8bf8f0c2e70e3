// The factors of SmoothQuant (Xiao et al., arXiv 2211.10438, equation 4).
#pragma once

#include <span>
#include <vector>

namespace octavo::smoothing {

// s_j = input_max_j^alpha / weight_max_j^(1 - alpha), from the largest magnitudes of each channel of the
// inputs and of each column of the weights that read it; alpha 1 moves all difficulty into the weights. At
// least 1e-5; 1 where it is not finite, and where the channel was never seen to be anything but 0: to divide
// it by next to nothing would make it an outlier the first time it is. Powers are f64.
std::vector<float> smooth_factors(std::span<const float> input_max, std::span<const float> weight_max,
                                  double alpha);

}  // namespace octavo::smoothing
