// Is a file right? Its quantized layers, what surrounds them, and the data of every tensor.
#pragma once

#include "base/meter.hpp"
#include "checkpoint/reader.hpp"
#include "stored/survey.hpp"

#include <cstdint>
#include <vector>

namespace octavo::report {

struct VerifyOptions {
  unsigned threads = 1;
  bool read_data = true;  // false: headers and markers only
  ProgressFunction progress = {};
};

struct Verification {
  std::vector<plugin::Finding> findings;
  uint64_t bytes_read = 0;

  bool ok() const;  // no finding of severity error
};

// Findings of the survey, find_leftovers, and codes-dtype, scale-shape; of the data codes-range,
// codes-all-zero, scale-value, nan, infinity: one for each tensor, with the count and the first place. Throws
// Error io or bad_input if the file cannot be read to its end.
Verification verify(const checkpoint::Checkpoint& file, const stored::Survey& survey,
                    const VerifyOptions& options);

}  // namespace octavo::report
