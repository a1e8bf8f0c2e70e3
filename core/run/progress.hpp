// How far a run is. Filled by the run, shown by the command line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace octavo::run {

struct Progress {
  uint64_t bytes_done = 0;  // of the source
  uint64_t bytes_total = 0;
  size_t tensors_done = 0;
  size_t tensors_total = 0;
  double seconds = 0;
  std::string tensor;  // one that is being worked on
};

}  // namespace octavo::run
