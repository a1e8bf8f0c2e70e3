// Two files, layer by layer: how far the values that the second one stores are from those of the first.
#pragma once

#include "base/meter.hpp"
#include "base/work_sharing.hpp"
#include "checkpoint/reader.hpp"
#include "stored/band_lane.hpp"
#include "stored/survey.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace octavo::report {

// Sums over values: a is the reference, b what is judged.
struct Difference {
  double error_sum = 0;   // of (a - b)^2
  double signal_sum = 0;  // of a^2
  double max_error = 0;
  uint64_t elements = 0;

  void add(const Difference& other);
  // 10 log10(signal / error); nothing if there is no error.
  std::optional<double> sqnr_db() const;
  double relative_error() const;  // sqrt(error / signal); 0 without error
};

// A layer that at least one file stores quantized, or a tensor that the files store in different dtypes.
struct LayerComparison {
  std::string name;      // base name of a layer, key of a tensor
  std::string format_a;  // id of the format, or the dtype
  std::string format_b;
  int64_t rows = 0;
  int64_t cols = 0;
  uint64_t bytes_a = 0;
  uint64_t bytes_b = 0;
  Difference difference;
};

// A tensor that both files store in the same way, with other bytes. `difference` if it has values to compare.
struct ChangedTensor {
  std::string name;
  std::string dtype;
  std::optional<Difference> difference;
};

struct Incomparable {
  std::string name;
  std::string reason;
};

struct Comparison {
  std::vector<LayerComparison> layers;  // by name
  Difference total;                     // of the layers
  std::vector<ChangedTensor> changed;   // by name
  std::vector<std::string> only_a;      // layers and tensors, by name
  std::vector<std::string> only_b;
  std::vector<Incomparable> incomparable;
  size_t equal = 0;  // tensors (and quantized layers' tensors) with the same bytes
};

struct Side {
  const checkpoint::Checkpoint& file;
  const stored::Survey& survey;
};

struct CompareOptions {
  unsigned lanes = 1;
  std::function<stored::BandLane(unsigned index, unsigned count)>
      open_lane;  // called in the thread that uses the lane
  ProgressFunction progress = {};
  CheckStop check_stop = {};  // called before a band, or another piece of the work
};

// Values are read in bands of rows by the lanes, dequantized by their operations, and summed in double
// precision in an order that does not depend on the lanes. Factors of SmoothQuant are undone
// (unsmoothing.hpp). Throws Error as reading, lanes and `check_stop` do.
Comparison compare(const Side& a, const Side& b, const CompareOptions& options);

}  // namespace octavo::report
