// Element types of the safetensors format: names, widths, sizes.
#pragma once

#include <octavo/abi/tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace octavo::checkpoint {

// The name in a header ("BF16"); "?" for a number that is no dtype.
const char* name(octavo_dtype dtype);
// Upper-case names only, as the format has them; nothing for any other text.
std::optional<octavo_dtype> dtype_from_name(std::string_view name);
// Width of one element in bits: 4, 6, 8, 16, 32 or 64.
int bits(octavo_dtype dtype);
// True for real floating point types of any width (not for complex numbers).
bool is_float(octavo_dtype dtype);

// Product of the dimensions (1 for rank 0); nothing where the product of the dimensions that are not 0 does
// not fit 64 bits, even if another one is 0.
std::optional<uint64_t> element_count(std::span<const uint64_t> shape);
// Bytes of a packed tensor; nothing on overflow or where the bits do not fill whole bytes.
std::optional<uint64_t> byte_count(octavo_dtype dtype, std::span<const uint64_t> shape);

}  // namespace octavo::checkpoint
