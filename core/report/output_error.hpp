// What rounding does to the outputs of layers on inputs that they were really given: Y = X W^T against what a
// loader computes from the stored file.
//
// Two loaders are looked at. One dequantizes the weights and leaves the inputs alone (W8A16): its error is
// that of the weights. The other rounds the inputs too and multiplies integers (W8A8): what that adds is the
// share of the activations. Errors of weights and activations are nearly independent, so the two shares add
// up to the whole but for a small rest. Each is set against nearest on the same grid, the yardstick of every
// optimizer.
#pragma once

#include "report/compare.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace octavo::report {

// Inputs of a layer, [samples, cols], row by row.
struct InputRows {
  std::vector<float> values;
  int64_t samples = 0;
  int64_t cols = 0;
};

// nullptr for a layer that nothing is known about. Called from any thread, at most once for each layer; rows
// are let go when the layer is done.
using FindInputs = std::function<std::shared_ptr<const InputRows>(const std::string& layer)>;

// Sums of squares over all outputs. Y8 is the output of W8A8, Q the stored weights.
struct OutputErrors {
  double weight = 0;      // |X Q^T - X W^T|^2: W8A16
  double activation = 0;  // |Y8 - X Q^T|^2
  double both = 0;        // |Y8 - X W^T|^2: W8A8
};

struct LayerOutputs {
  std::string name;
  std::string format;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t samples = 0;
  double signal = 0;      // |X W^T|^2
  bool has_w8a8 = false;  // INT8 codes with a scale for each row or for the layer; else only `weight` counts
  bool is_nearest = false;  // nearest stores the same codes and scales
  OutputErrors stored;
  OutputErrors nearest;
};

struct OutputReport {
  std::vector<LayerOutputs> layers;    // by name
  std::vector<Incomparable> left_out;  // quantized layers of b, with the reason
};

// `a` has the weights W, `b` what is judged. Where b was smoothed (unsmoothing.hpp), its layers are given the
// inputs that it gives them, and nearest is set against them unsmoothed. Products are f32, sums f64 in an
// order that does not depend on the lanes; activations are rounded from f32. Biases are not looked at. Throws
// Error bad_input for inputs that are not as wide as the layer, and as reading, lanes and `check_stop` do.
OutputReport judge_outputs(const Side& a, const Side& b, const FindInputs& inputs,
                           const CompareOptions& options);

}  // namespace octavo::report
