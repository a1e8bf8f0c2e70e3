// Memory of a lane: aligned for vectors, on huge pages where it is large.
#pragma once

#include <cstddef>
#include <memory>

namespace octavo::cpu {

// 64-byte aligned; from 2 MiB on aligned to huge pages, which the kernel is asked for. Throws std::bad_alloc.
// free() releases it.
void* allocate_aligned(std::size_t bytes);

// An array of floats that grows and never shrinks; its contents do not survive growing.
class Scratch {
 public:
  float* floats(std::size_t count);

 private:
  struct Free {
    void operator()(void* data) const;
  };
  std::unique_ptr<float, Free> data_;
  std::size_t capacity_ = 0;
};

}  // namespace octavo::cpu
