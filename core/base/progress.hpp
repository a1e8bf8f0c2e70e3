// How far a run is: what it tells whoever shows it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace octavo {

struct Progress {
  uint64_t bytes_done = 0;   // of the source
  uint64_t bytes_total = 0;  // 0: not known
  std::string tensor;        // the one that was worked on last
  double seconds = 0;        // since the run began
  size_t tensors_done = 0;
  size_t tensors_total = 0;
};

}  // namespace octavo
