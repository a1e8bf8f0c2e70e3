#include "base/large_block.hpp"

#include <algorithm>
#include <new>
#include <sys/mman.h>

namespace octavo {

LargeBlock::LargeBlock(uint64_t bytes) : size_(bytes) {
  constexpr uint64_t kHugePage = uint64_t{2} << 20;
  const bool is_large = bytes >= kHugePage;
  const uint64_t alignment = is_large ? kHugePage : 64;
  const uint64_t rounded = std::max<uint64_t>((bytes + alignment - 1) / alignment, 1) * alignment;
  data_.reset(static_cast<std::byte*>(std::aligned_alloc(alignment, rounded)));
  if (data_ == nullptr) throw std::bad_alloc();
  if (is_large) ::madvise(data_.get(), rounded, MADV_HUGEPAGE);  // a wish: a refusal costs speed only
}

}  // namespace octavo
