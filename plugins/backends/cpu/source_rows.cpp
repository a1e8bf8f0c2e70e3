#include "source_rows.hpp"

#include <octavo/tensor.hpp>

#include <algorithm>
#include <array>

namespace octavo::cpu {
namespace {

using Table = std::array<float, 256>;

Table make_table(std::uint32_t dtype) {
  Table table{};
  for (std::size_t i = 0; i < table.size(); ++i) table[i] = from_f8(static_cast<std::uint8_t>(i), dtype);
  return table;
}

const Table& table_of(std::uint32_t f8_dtype) {
  static const Table e4m3 = make_table(OCTAVO_F8_E4M3), e5m2 = make_table(OCTAVO_F8_E5M2),
                     e4m3fnuz = make_table(OCTAVO_F8_E4M3FNUZ), e5m2fnuz = make_table(OCTAVO_F8_E5M2FNUZ);
  switch (f8_dtype) {
    case OCTAVO_F8_E4M3:
      return e4m3;
    case OCTAVO_F8_E5M2:
      return e5m2;
    case OCTAVO_F8_E4M3FNUZ:
      return e4m3fnuz;
    default:
      return e5m2fnuz;
  }
}

template <typename T, typename Convert>
void decode_each(const void* values, std::int64_t count, float* target, Convert convert) {
  const T* from = static_cast<const T*>(values);
  for (std::int64_t i = 0; i < count; ++i) target[i] = convert(from[i]);
}

bool is_native(std::uint32_t dtype) {
  return dtype == OCTAVO_F32 || dtype == OCTAVO_BF16 || dtype == OCTAVO_F16;
}

}  // namespace

void decode(const void* values, std::uint32_t dtype, std::int64_t count, float* target) {
  switch (dtype) {
    case OCTAVO_F64:
      return decode_each<double>(values, count, target, [](double v) { return static_cast<float>(v); });
    case OCTAVO_F32:
      std::copy_n(static_cast<const float*>(values), count, target);
      return;
    case OCTAVO_BF16:
      return decode_each<std::uint16_t>(values, count, target, from_bf16);
    case OCTAVO_F16:
      return decode_each<std::uint16_t>(values, count, target, from_f16);
    default: {
      const Table& table = table_of(dtype);
      return decode_each<std::uint8_t>(values, count, target, [&](std::uint8_t v) { return table[v]; });
    }
  }
}

Ahead SourceRows::ahead(std::int64_t row, std::int64_t col) const {
  if (row >= view_.shape[0]) return {};
  const std::size_t element = bytes_of(view_.dtype);
  return Ahead{static_cast<const char*>(view_.data), element}.at(row * view_.row_stride + col);
}

Values SourceRows::at(std::int64_t row, std::int64_t rows, std::int64_t col, std::int64_t cols) const {
  const auto height = static_cast<std::size_t>(rows), width = static_cast<std::size_t>(cols);
  const auto start = [&](std::int64_t r) {
    return static_cast<const std::uint8_t*>(view_.data) +
           (r * view_.row_stride + col) * static_cast<std::int64_t>(bytes_of(view_.dtype));
  };
  if (is_native(view_.dtype)) return {start(row), view_.dtype, height, width, view_.row_stride};
  float* decoded = scratch_.floats(height * width);
  for (std::int64_t r = 0; r < rows; ++r) decode(start(row + r), view_.dtype, cols, decoded + r * cols);
  return {decoded, OCTAVO_F32, height, width, cols};
}

}  // namespace octavo::cpu
