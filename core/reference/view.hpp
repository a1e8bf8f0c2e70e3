// Checks on the tensor views that callers pass, and small ways to say what is wrong with them.
#pragma once

#include <octavo/abi/tensor.h>

#include <cstdint>
#include <string>

namespace octavo::reference {

struct Extent {
  std::int64_t rows;
  std::int64_t cols;
  friend bool operator==(const Extent&, const Extent&) = default;
};

// "[operation] what", as a PluginError with OCTAVO_BAD_ARGUMENT or OCTAVO_UNSUPPORTED.
[[noreturn]] void bad_argument(const char* operation, const std::string& what);
[[noreturn]] void unsupported(const char* operation, const std::string& what);

// Rows and columns of a view that must have data in host memory. Rank 2; rank 1 counts as one column and
// rank 0 as one element. `name` is the operand's name in the error.
Extent extent(const octavo_tensor& view, const char* operation, const char* name);

// Throws unless the view has this dtype and extent.
void expect(const octavo_tensor& view, std::uint32_t dtype, Extent expected, const char* operation,
            const char* name);

// Throws unless the view's dtype is one a weight may have (octavo::is_weight_dtype).
void expect_float(const octavo_tensor& view, const char* operation, const char* name);

}  // namespace octavo::reference
