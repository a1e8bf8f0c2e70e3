// Where a launch runs and how many blocks it should have.
#pragma once

#include "record.hpp"

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <tuple>

namespace octavo::cuda {

class Reports;

// How many blocks of a kernel a device holds at a time. Belongs to one lane; remembers what it asked CUDA.
class Residency {
 public:
  explicit Residency(int device);
  // Also lifts the kernel's limit on dynamic shared memory where it has to.
  unsigned blocks(const void* kernel, unsigned threads, std::size_t shared_bytes);
  unsigned multiprocessors() const { return multiprocessors_; }
  // The most shared memory that a block can have.
  std::size_t shared_limit() const { return shared_limit_; }
  // Whether what the device runs of the kernel was made for Hopper or later: a launch of it may begin before
  // the one ahead of it in its stream has ended, and it may have rows copied to shared memory.
  bool has_hopper_code(const void* kernel);

 private:
  unsigned multiprocessors_ = 1;
  std::size_t shared_limit_ = 0;
  bool is_hopper_or_later_ = false;
  std::map<std::tuple<const void*, unsigned, std::size_t>, unsigned> known_;
  std::map<const void*, bool> hopper_code_;
};

// What every kernel launcher is given.
struct Launch {
  cudaStream_t stream;
  Residency& residency;
  Reports* reports;  // nullptr where the launch reports nothing

  // Where each block of a launch reports, in device memory; or nullptr.
  Record* records(unsigned blocks) const;
};

// Blocks for `work` pieces of which a block does one after the other: all that fit on the device at a time.
template <typename Kernel>
unsigned grid_for(const Launch& launch, Kernel* kernel, std::int64_t work, unsigned threads,
                  std::size_t shared_bytes = 0) {
  const std::int64_t resident =
      launch.residency.blocks(reinterpret_cast<const void*>(kernel), threads, shared_bytes);
  const std::int64_t blocks = work < resident ? work : resident;
  return static_cast<unsigned>(blocks < 1 ? 1 : blocks);
}

// Launches a kernel of one parameter that calls start_after_previous() (reduce.cuh): its blocks take their
// places while those of the launch ahead of it in the stream end.
void launch_overlapping(const Launch& launch, const void* kernel, unsigned blocks, unsigned threads,
                        std::size_t shared_bytes, const void* parameter);

}  // namespace octavo::cuda
