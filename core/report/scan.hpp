// Scans of raw tensor data: what is not finite, codes beyond their range, scales that cannot be.
#pragma once

#include <octavo/abi/tensor.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace octavo::report {

// Elements of one kind that were found, and the first one's index in the tensor.
struct Found {
  uint64_t count = 0;
  uint64_t first = 0;  // of no meaning if count is 0

  void add(uint64_t index) { first = count++ == 0 || index < first ? index : first; }
  void add(const Found& other);
};

struct NonFinite {
  Found nans;
  Found infinities;
};

// Dtypes with values that are not finite, and whole bytes: F64, F32, F16, BF16, 8-bit floats, C64 (both
// halves are looked at, an index counts halves).
bool can_be_nonfinite(octavo_dtype dtype);

// `bytes`: whole elements of a tensor, `first` the index of the first one.
NonFinite scan_nonfinite(octavo_dtype dtype, std::span<const std::byte> bytes, uint64_t first);

// I8 codes outside of [least, most].
Found scan_codes(std::span<const std::byte> bytes, int32_t least, int32_t most, uint64_t first);

// Scales (any dtype of abi/grid.h) that are not finite or not above zero.
Found scan_scales(octavo_dtype dtype, std::span<const std::byte> bytes, uint64_t first);

// True if every byte is 0.
bool all_zero(std::span<const std::byte> bytes);

}  // namespace octavo::report
