#include "ring.hpp"

#include "status.hpp"

#include <octavo/plugin.hpp>

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <sys/mman.h>
#include <thread>

namespace octavo::cuda {
namespace {

constexpr std::uint64_t kHugePage = std::uint64_t{2} << 20;
constexpr std::uint64_t kPage = 4096;
constexpr unsigned kTouchers = 8;
constexpr std::uint64_t kMostSpare = std::uint64_t{256} << 20;

std::uint64_t round_up(std::uint64_t value, std::uint64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

std::byte* map_memory(std::uint64_t bytes) {
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) {
    throw PluginError(OCTAVO_NO_MEMORY,
                      fmt::format("[lane] {} bytes of host memory for the slots are not there", bytes),
                      "use fewer lanes");
  }
  madvise(data, bytes, MADV_HUGEPAGE);  // a wish: without huge pages it is only slower
  return static_cast<std::byte*>(data);
}

// Makes the kernel create the pages, by several threads.
void touch(std::byte* data, std::uint64_t bytes) {
  const std::uint64_t share = round_up(bytes / kTouchers + 1, kHugePage);
  const auto touch_share = [=](std::uint64_t begin) {
    for (std::uint64_t at = begin; at < std::min(begin + share, bytes); at += kPage)
      static_cast<volatile std::byte*>(data)[at] = std::byte{0};
  };
  std::vector<std::jthread> threads;
  for (std::uint64_t begin = share; begin < bytes; begin += share) threads.emplace_back(touch_share, begin);
  touch_share(0);
}

void register_memory(std::byte* data, std::uint64_t bytes) {
  check(cudaHostRegister(data, bytes, cudaHostRegisterPortable | cudaHostRegisterMapped), "lane",
        "registering host memory");
}

}  // namespace

PinnedRing::~PinnedRing() {
  unmap_ring();
  for (const auto& [data, bytes] : own_) unmap({data, bytes});
  for (const Mapping& mapping : spare_) unmap(mapping);
}

void PinnedRing::unmap(const Mapping& mapping) noexcept {
  cudaHostUnregister(mapping.data);
  munmap(mapping.data, mapping.bytes);
}

void PinnedRing::map(std::uint32_t blocks, std::uint64_t block_bytes) {
  const std::lock_guard lock(mutex_);
  block_bytes = round_up(block_bytes, 64);
  if (blocks == 0 || block_bytes == 0) return;
  if (ring_.data != nullptr) {
    const bool fits = blocks_ >= blocks && block_bytes_ >= block_bytes;
    if (fits || free_.size() < blocks_) return;
    unmap_ring();
  }
  ring_.bytes = round_up(blocks * block_bytes, kHugePage);
  ring_.data = map_memory(ring_.bytes);
  touch(ring_.data, ring_.bytes);
  blocks_ = blocks;
  block_bytes_ = block_bytes;
  for (std::uint32_t i = blocks; i > 0; --i) free_.push_back(ring_.data + (i - 1) * block_bytes);
}

void PinnedRing::pin(int device) {
  const std::lock_guard lock(mutex_);
  device_ = device;
  if (pinned_ || ring_.data == nullptr) return;
  register_memory(ring_.data, ring_.bytes);
  pinned_ = true;
}

void* PinnedRing::allocate(std::uint64_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    // A small request does not take a whole slot away.
    if (pinned_ && bytes <= block_bytes_ && bytes > block_bytes_ / 4 && !free_.empty()) {
      std::byte* data = free_.back();
      free_.pop_back();
      return data;
    }
  }
  const std::uint64_t whole = round_up(std::max<std::uint64_t>(bytes, 1), kPage);
  if (std::byte* const spare = take_spare(whole)) return spare;
  std::byte* data = map_memory(whole);
  try {
    touch(data, whole);
    register_memory(data, whole);
  } catch (...) {
    munmap(data, whole);
    throw;
  }
  const std::lock_guard lock(mutex_);
  own_.emplace(data, whole);
  return data;
}

void PinnedRing::release(void* data) noexcept {
  const std::lock_guard lock(mutex_);
  auto* bytes = static_cast<std::byte*>(data);
  if (bytes >= ring_.data && bytes < ring_.data + ring_.bytes) {
    free_.push_back(bytes);
    return;
  }
  const auto found = own_.find(bytes);
  if (found == own_.end()) return;
  const Mapping mapping{bytes, found->second};
  own_.erase(found);
  spare_.push_back(mapping);
  spare_bytes_ += mapping.bytes;
  while (spare_bytes_ > kMostSpare) {  // the oldest go
    unmap(spare_.front());
    spare_bytes_ -= spare_.front().bytes;
    spare_.erase(spare_.begin());
  }
}

std::byte* PinnedRing::take_spare(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  const auto fits = [&](const Mapping& spare) { return spare.bytes >= bytes && spare.bytes / 2 <= bytes; };
  const auto found = std::find_if(spare_.begin(), spare_.end(), fits);
  if (found == spare_.end()) return nullptr;
  const Mapping mapping = *found;
  spare_.erase(found);
  spare_bytes_ -= mapping.bytes;
  own_.emplace(mapping.data, mapping.bytes);
  return mapping.data;
}

// In a thread that has no device yet CUDA would take the first one, and make a context there.
void PinnedRing::unmap_ring() noexcept {
  if (device_ >= 0) cudaSetDevice(device_);
  if (ring_.data == nullptr) return;
  if (pinned_) cudaHostUnregister(ring_.data);
  munmap(ring_.data, ring_.bytes);
  ring_ = {};
  pinned_ = false;
  blocks_ = 0;
  block_bytes_ = 0;
  free_.clear();
}

}  // namespace octavo::cuda
