// Adding up what the blocks of launches have found.
#pragma once

#include "record.hpp"

#include <cuda_runtime_api.h>

namespace octavo::cuda {

// For a launch of launches: what it is given in one piece.
struct Totals {
  struct Part {
    const Record* records;  // of each block, in device memory
    unsigned blocks;
    Record* total;  // pinned
  };
  static constexpr unsigned kMost = 64;
  Part parts[kMost];
};

// The first `count` parts. Sums are added up in an order that depends on the number of blocks alone.
void add_up(const Totals& totals, unsigned count, cudaStream_t stream);

}  // namespace octavo::cuda
