#include "lane.hpp"

#include "operands.hpp"
#include "status.hpp"

#include <octavo/plugin.hpp>

#include <cstdlib>

namespace octavo::cuda {
namespace {

bool is_host(octavo_memory memory) { return memory != OCTAVO_MEMORY_DEVICE; }

}  // namespace

CudaLane::CudaLane(std::shared_ptr<PinnedRing> ring, std::shared_ptr<Fault> fault, int device)
    : ring_(std::move(ring)), fault_(std::move(fault)), device_(device), residency_(device) {
  enter();
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "lane", "stream");
}

CudaLane::~CudaLane() {
  cudaSetDevice(device_);
  cudaStreamSynchronize(stream_);
  products_.reset();
  for (cudaEvent_t event : events_) cudaEventDestroy(event);
  reports_ = {};
  cudaStreamDestroy(stream_);
}

void CudaLane::enter() {
  ++operation_;
  check(cudaSetDevice(device_), "lane", "device");
}

void* CudaLane::allocate(octavo_memory memory, std::uint64_t bytes) {
  enter();
  if (memory == OCTAVO_MEMORY_PINNED) return ring_->allocate(bytes);
  void* data = nullptr;
  if (memory == OCTAVO_MEMORY_DEVICE) {
    check(cudaMallocAsync(&data, bytes > 0 ? bytes : 1, stream_), "allocate", "device memory");
    return data;
  }
  data = std::aligned_alloc(64, (bytes + 64) / 64 * 64);
  if (data == nullptr) throw std::bad_alloc();
  return data;
}

void CudaLane::release(octavo_memory memory, void* data) {
  if (memory == OCTAVO_MEMORY_HOST) {
    std::free(data);
    return;
  }
  enter();
  if (memory == OCTAVO_MEMORY_DEVICE) {  // in the lane's order, behind the work that uses it
    check(cudaFreeAsync(data, stream_), "release", "device memory");
    return;
  }
  check(cudaStreamSynchronize(stream_), "release", "the lane's work");
  ring_->release(data);
}

void CudaLane::copy(void* target, octavo_memory target_memory, const void* source,
                    octavo_memory source_memory, std::uint64_t bytes) {
  if (bytes == 0) return;
  enter();
  const cudaMemcpyKind kind =
      is_host(source_memory) ? (is_host(target_memory) ? cudaMemcpyHostToHost : cudaMemcpyHostToDevice)
                             : (is_host(target_memory) ? cudaMemcpyDeviceToHost : cudaMemcpyDeviceToDevice);
  check(cudaMemcpyAsync(target, source, bytes, kind, stream_), "copy", "copy");
}

void CudaLane::record(std::uint32_t slot) {
  enter();
  while (events_.size() <= slot) {
    cudaEvent_t event = nullptr;
    check(cudaEventCreateWithFlags(&event, cudaEventBlockingSync | cudaEventDisableTiming), "record",
          "event");
    events_.push_back(event);
  }
  reports_.assign(slot, stream_);
  check(cudaEventRecord(events_[slot], stream_), "record", "event");
}

void CudaLane::wait(std::uint32_t slot) {
  if (slot >= events_.size()) return;
  enter();
  const cudaError_t code = cudaEventSynchronize(events_[slot]);
  if (code != cudaSuccess) reports_.forget(slot);
  check(code, "wait", "the lane's work");
  reports_.deliver(slot);
}

void CudaLane::report(std::int64_t row_count, Reports::Delivery deliver,
                      const std::function<void(const Launch&, double* rows)>& issue) {
  if (fault_->is_due()) break_device(stream_);
  double* const rows = reports_.promise(row_count, std::move(deliver));
  try {
    issue({stream_, residency_, &reports_}, rows);
  } catch (...) {
    reports_.revoke();
    throw;
  }
}

}  // namespace octavo::cuda
