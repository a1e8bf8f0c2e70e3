#include "bus.hpp"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <vector>

namespace octavo::bench {
namespace {

constexpr std::size_t kPiece = std::size_t{4} << 20;
constexpr std::size_t kStreams = 8;

void check(cudaError_t code) {
  if (code != cudaSuccess) throw std::runtime_error(cudaGetErrorString(code));
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

struct Stream {
  cudaStream_t stream = nullptr;
  void* host = nullptr;
  void* device = nullptr;
};

double time_transfer(std::uint64_t bytes) {
  std::vector<Stream> streams(kStreams);
  for (Stream& one : streams) {
    check(cudaStreamCreateWithFlags(&one.stream, cudaStreamNonBlocking));
    check(cudaMallocHost(&one.host, 2 * kPiece));
    check(cudaMalloc(&one.device, 2 * kPiece));
  }
  const auto run = [&](std::uint64_t total) {
    std::size_t turn = 0;
    for (std::uint64_t at = 0; at < total; at += kPiece, ++turn) {
      const Stream& one = streams[turn % kStreams];
      check(cudaMemcpyAsync(one.device, one.host, kPiece, cudaMemcpyHostToDevice, one.stream));
      check(cudaMemcpyAsync(static_cast<std::byte*>(one.host) + kPiece,
                            static_cast<std::byte*>(one.device) + kPiece, kPiece / 2, cudaMemcpyDeviceToHost,
                            one.stream));
    }
    check(cudaDeviceSynchronize());
  };
  run(std::uint64_t{256} << 20);  // warm up
  const auto start = std::chrono::steady_clock::now();
  run(bytes);
  return seconds_since(start);
}

double time_device_copy() {
  constexpr std::size_t kBytes = std::size_t{1} << 30;
  constexpr int kCopies = 8;
  void *from = nullptr, *to = nullptr;
  check(cudaMalloc(&from, kBytes));
  check(cudaMalloc(&to, kBytes));
  double best = 0.0;
  for (int trial = 0; trial < 4; ++trial) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kCopies; ++i) check(cudaMemcpyAsync(to, from, kBytes, cudaMemcpyDeviceToDevice));
    check(cudaDeviceSynchronize());
    best = std::max(best, 2.0 * kCopies * static_cast<double>(kBytes) / seconds_since(start));
  }
  return best;
}

}  // namespace

BusTimes measure_bus(std::uint64_t bytes) {
  BusTimes times{};
  const auto start = std::chrono::steady_clock::now();
  check(cudaFree(nullptr));
  times.context = seconds_since(start);
  times.transfer = time_transfer(bytes);
  times.device_copy = time_device_copy();
  return times;
}

}  // namespace octavo::bench
