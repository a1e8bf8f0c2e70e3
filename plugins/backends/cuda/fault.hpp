// Breaking the device on purpose, for tests of what happens then: OCTAVO_CUDA_BREAK_AFTER=N breaks it at the
// N-th operation that reports something.
#pragma once

#include <cuda_runtime_api.h>

#include <atomic>
#include <cstdint>

namespace octavo::cuda {

// Counts operations; shared by all lanes.
class Fault {
 public:
  explicit Fault(std::int64_t operation) : operation_(operation) {}
  bool is_due() { return operation_ != 0 && ++operations_ == operation_; }

 private:
  const std::int64_t operation_;  // 0: none
  std::atomic<std::int64_t> operations_{0};
};

// What the environment asks for.
std::int64_t asked_fault();

// Issues a launch that writes to an address which is not there: a sticky error, the context is lost.
void break_device(cudaStream_t stream);

}  // namespace octavo::cuda
