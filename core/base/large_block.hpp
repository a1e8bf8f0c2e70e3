// A block of memory for much data that is about to be written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

namespace octavo {

// Not initialized, aligned to 64 bytes; in huge pages from 2 MiB on, where the system has them: of usual ones
// 50 MB take longer to be put in place (40 ms) than to be filled.
class LargeBlock {
 public:
  LargeBlock() = default;
  // Throws std::bad_alloc.
  explicit LargeBlock(uint64_t bytes);

  std::byte* data() const { return data_.get(); }
  size_t size() const { return size_; }

 private:
  struct Free {
    void operator()(std::byte* data) const { std::free(data); }
  };
  std::unique_ptr<std::byte, Free> data_;
  size_t size_ = 0;
};

}  // namespace octavo
