// Owners of device and pinned memory.
#pragma once

#include "status.hpp"

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace octavo::cuda {

// Scratch memory of one operation: comes from the device's pool in the stream's order and goes back in it, so
// work that was issued may still use it when this is gone.
template <typename T>
class Scratch {
 public:
  Scratch(cudaStream_t stream, std::int64_t count, const char* operation) : stream_(stream) {
    const std::size_t bytes = static_cast<std::size_t>(count > 0 ? count : 1) * sizeof(T);
    check(cudaMallocAsync(reinterpret_cast<void**>(&data_), bytes, stream), operation, "scratch memory");
  }
  ~Scratch() {
    if (data_ != nullptr) cudaFreeAsync(data_, stream_);
  }
  Scratch(Scratch&& other) noexcept : stream_(other.stream_), data_(std::exchange(other.data_, nullptr)) {}
  Scratch& operator=(Scratch&& other) noexcept {
    std::swap(stream_, other.stream_);
    std::swap(data_, other.data_);
    return *this;
  }
  T* get() const { return data_; }

 private:
  cudaStream_t stream_;
  T* data_ = nullptr;
};

// A few pages at most: cudaHostAlloc is slow (ring.hpp). Every device of the process can write it.
template <typename T>
class Pinned {
 public:
  explicit Pinned(std::size_t count) : count_(count) {
    check(cudaHostAlloc(reinterpret_cast<void**>(&data_), (count > 0 ? count : 1) * sizeof(T),
                        cudaHostAllocPortable | cudaHostAllocMapped),
          "lane", "pinned memory");
  }
  ~Pinned() {
    if (data_ != nullptr) cudaFreeHost(data_);
  }
  Pinned(Pinned&& other) noexcept : data_(std::exchange(other.data_, nullptr)), count_(other.count_) {}
  Pinned& operator=(Pinned&&) = delete;
  T* get() const { return data_; }
  std::size_t size() const { return count_; }

 private:
  T* data_ = nullptr;
  std::size_t count_;
};

}  // namespace octavo::cuda
