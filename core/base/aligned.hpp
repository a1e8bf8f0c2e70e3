// Where a part of a block of memory may begin.
#pragma once

#include <cstdint>

namespace octavo {

// The next multiple of 64, to which a lane's memory is aligned.
constexpr uint64_t aligned(uint64_t bytes) { return (bytes + 63) & ~uint64_t{63}; }

}  // namespace octavo
