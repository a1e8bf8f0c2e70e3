#include "memory.hpp"

#include <cstdlib>
#include <new>
#include <sys/mman.h>

namespace octavo::cpu {

void* allocate_aligned(std::size_t bytes) {
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  const std::size_t alignment = bytes >= kHugePage ? kHugePage : 64;
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  void* data = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
  if (data == nullptr) throw std::bad_alloc();
  if (bytes >= kHugePage) madvise(data, rounded, MADV_HUGEPAGE);  // advice: a refusal costs speed only
  return data;
}

float* Scratch::floats(std::size_t count) {
  if (count > capacity_) {
    data_.reset(static_cast<float*>(allocate_aligned(count * sizeof(float))));
    capacity_ = count;
  }
  return data_.get();
}

void Scratch::Free::operator()(void* data) const { std::free(data); }

}  // namespace octavo::cpu
