// What an operation accepts: checks that end in OCTAVO_BAD_ARGUMENT or OCTAVO_UNSUPPORTED, with the reason.
#pragma once

#include "codes.hpp"
#include "view.hpp"

#include <octavo/abi/backend.h>

#include <cstdint>
#include <string>

namespace octavo::cuda {

[[noreturn]] void bad_argument(const char* operation, const std::string& what);
[[noreturn]] void unsupported(const char* operation, const std::string& what);

// A view of device memory of rank 2 at most; `name` is the operand's in the error.
View checked_view(const octavo_tensor& tensor, const char* operation, const char* name);
// The same, and of this dtype and extent.
View checked_view(const octavo_tensor& tensor, std::uint32_t dtype, std::int64_t rows, std::int64_t cols,
                  const char* operation, const char* name);
// The same for any dtype that a weight may have.
View float_view(const octavo_tensor& tensor, const char* operation, const char* name);

// The basis as a group of columns: 0 for plain and for a format's own.
std::int64_t basis_group(const octavo_grid& grid, const char* operation);
// The same, and the group divides `cols`.
std::int64_t basis_group(const octavo_grid& grid, std::int64_t cols, const char* operation);

// Codes and levels that the reference knows.
void check_codes(const octavo_grid& grid, const char* operation);
void check_levels(const octavo_grid& grid, const char* operation);
void check_zero_point_dtype(const octavo_grid& grid, const char* operation);

// What kernels are told of a grid; the grid has been checked.
CodePlan code_plan(const octavo_grid& grid);
// Level `index` for codes of this extent, without memory.
LevelPlan level_plan(const octavo_grid& grid, std::uint32_t index, std::int64_t rows, std::int64_t cols);

}  // namespace octavo::cuda
