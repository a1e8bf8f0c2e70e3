// Bias correction: the mean output of a layer stays what it was.
//
// Rounding adds (What - W) m to the mean output, m being the mean of the layer's inputs, so the bias becomes
// b + (W - What) m (Nagel, van Baalen, Blankevoort, Welling, "Data-free quantization through weight
// equalization and bias correction", 2019, section 4.2.1). With the mean of |x|, or of inputs that nobody
// recorded, that would be wrong: without real means a bias is copied as it is.
#pragma once

#include "checkpoint/reader.hpp"
#include "plan/plan.hpp"
#include "plugin/backend.hpp"

#include <octavo/abi/grid.h>

#include <cstddef>
#include <vector>

namespace octavo::run {

// (W - What) m of the rows of a tile whose codes are final; f64 sums in the order of the columns where the
// lane works in host memory, else two products of the lane in f32. Waits for the lane. Class B.
std::vector<float> bias_correction(plugin::Lane& lane, const octavo_tile& tile,
                                   const std::vector<float>& mean);

// The bytes of bias elements [row_begin, row_begin + delta.size()), corrected, in the bias's own dtype.
std::vector<std::byte> corrected_bias(const checkpoint::Checkpoint& source, const plan::PlannedBias& bias,
                                      int64_t row_begin, const std::vector<float>& delta);

}  // namespace octavo::run
