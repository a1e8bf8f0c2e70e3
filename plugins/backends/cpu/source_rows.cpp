#include "source_rows.hpp"

#include <octavo/tensor.hpp>

namespace octavo::cpu {
namespace {

bool is_native(std::uint32_t dtype) {
  return dtype == OCTAVO_F32 || dtype == OCTAVO_BF16 || dtype == OCTAVO_F16;
}

}  // namespace

const char* SourceRows::start(std::int64_t row, std::int64_t col) const {
  return static_cast<const char*>(view_.data) +
         (row * view_.row_stride + col) * static_cast<std::int64_t>(bytes_of(view_.dtype));
}

Ahead SourceRows::ahead(std::int64_t row, std::int64_t col) const {
  if (row >= view_.shape[0]) return {};
  return {start(row, col), bytes_of(view_.dtype)};
}

Values SourceRows::at(std::int64_t row, std::int64_t rows, std::int64_t col, std::int64_t cols) const {
  const auto height = static_cast<std::size_t>(rows), width = static_cast<std::size_t>(cols);
  if (is_native(view_.dtype)) return {start(row, col), view_.dtype, height, width, view_.row_stride};
  float* decoded = scratch_.floats(height * width);
  for (std::int64_t r = 0; r < rows; ++r)
    kernels_.decode(start(row + r, col), view_.dtype, width, decoded + r * cols);
  return {decoded, OCTAVO_F32, height, width, cols};
}

void SourceRows::copy_row(std::int64_t row, float* target) const {
  const auto width = static_cast<std::size_t>(view_.shape[1]);
  if (is_native(view_.dtype))
    kernels_.cast(start(row, 0), view_.dtype, width, 1.0f, target, OCTAVO_F32);
  else
    kernels_.decode(start(row, 0), view_.dtype, width, target);
}

}  // namespace octavo::cpu
