// The pinned ring: the host memory of all lanes' slots in one piece.
//
// cudaHostAlloc costs 0.4 to 0.5 s for each GB; an anonymous mapping of huge pages that several threads touch
// and that is registered once costs a tenth of it (measured on an H200, 4 GiB). Touching needs no context, so
// it runs while the context is being created.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

namespace octavo::cuda {

// Thread safe.
class PinnedRing {
 public:
  PinnedRing() = default;
  ~PinnedRing();
  PinnedRing(const PinnedRing&) = delete;
  PinnedRing& operator=(const PinnedRing&) = delete;

  // Maps and touches room for `blocks` pieces of `block_bytes`, unless that many of that size are there. A
  // ring with pieces in use stays as it is.
  void map(std::uint32_t blocks, std::uint64_t block_bytes);
  // Registers what was mapped, by way of this device, whose context is there. For all devices.
  void pin(int device);

  // A piece of the ring, or a registered mapping of its own where none fits. 64-byte aligned.
  void* allocate(std::uint64_t bytes);
  void release(void* data) noexcept;

 private:
  struct Mapping {
    std::byte* data = nullptr;
    std::uint64_t bytes = 0;
  };
  void unmap_ring() noexcept;
  static void unmap(const Mapping& mapping) noexcept;
  // One of the spare mappings for `bytes`, or nullptr.
  std::byte* take_spare(std::uint64_t bytes);

  std::mutex mutex_;
  Mapping ring_;
  bool pinned_ = false;
  int device_ = -1;  // one whose context is there; -1: nothing is registered
  std::uint64_t block_bytes_ = 0;
  std::uint32_t blocks_ = 0;
  std::vector<std::byte*> free_;
  std::map<std::byte*, std::uint64_t> own_;  // mappings outside of the ring that are in use
  // Those that were given back last. Whole layers are as large as one another, and making one anew takes
  // longer than copying a layer in.
  std::vector<Mapping> spare_;
  std::uint64_t spare_bytes_ = 0;
};

}  // namespace octavo::cuda
