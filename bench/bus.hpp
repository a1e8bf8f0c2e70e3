// The first GPU's bus and memory, through the CUDA run time alone.
#pragma once

#include <cstdint>

namespace octavo::bench {

struct BusTimes {
  double context;      // s, to create the context of this process
  double transfer;     // s, `bytes` to the GPU and half as many back, from and to pinned memory, side by side
  double device_copy;  // bytes read and written in a second by a copy within the GPU's memory
};

// Throws std::runtime_error where there is no GPU.
BusTimes measure_bus(std::uint64_t bytes);

}  // namespace octavo::bench
