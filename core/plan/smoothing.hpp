// SmoothQuant in a plan: which layers are smoothed together, and where the inverse of their factors goes.
//
// Layers multiply their columns by s, and what they read is divided by it: X W^T = (X / s) (W s)^T, with the
// difficulty of outliers in X moved into W, where each row has a scale of its own to meet it (Xiao et al.,
// SmoothQuant, arXiv 2211.10438). The division needs a place. Either it is folded into the producer of X, a
// norm or a linear that the model filter names, whose rows and bias are divided once and for all; every layer
// that reads it then has the same s. Or the format stores s beside the codes for a loader that divides. A
// layer that has neither is not smoothed. Nothing about the bytes' places depends on the values of s, so a
// plan is made without them; smoothing/find_factors.hpp finds them before the run.
#pragma once

#include "calibration/calibration.hpp"
#include "plan/row_origin.hpp"

#include <octavo/abi/grid.h>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace octavo::plan {

// A layer that reads the smoothed channels.
struct SmoothedReader {
  std::string name;                                 // base name
  RowOrigin origin;                                 // of its weight, before anything is scaled
  const calibration::InputGroup* inputs = nullptr;  // nullptr: nothing is known about them
  const octavo_grid* grid = nullptr;                // nullptr: it stays in high precision
};

// Layers that have one s. At its address as long as the plan is there.
struct Smoothing {
  std::string target;                  // key of the producer's weight; of a layer that stores s, its own name
  std::optional<RowOrigin> gain = {};  // of a producer that is a norm, before anything is scaled
  std::optional<RowOrigin> shift = {};   // its bias
  std::optional<size_t> stored_in = {};  // index into Plan::outputs: s is stored, not folded
  std::vector<SmoothedReader> readers = {};
  int64_t channels = 0;
  SmoothFactors factors = {};
  double alpha = 0;  // with which the factors were found; 0: the search found that none are better
};

// __metadata__ key: JSON object from the key of a producer's weight to the layers that it is folded for, so
// that a reader who has both files can undo it.
inline constexpr const char* kSmoothingRecord = "octavo.smoothing";

}  // namespace octavo::plan
