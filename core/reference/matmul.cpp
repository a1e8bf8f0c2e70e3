// Float products, accumulated in f64 and rounded once.
#include "reference/algebra.hpp"
#include "reference/convert.hpp"
#include "reference/view.hpp"

#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <fmt/format.h>

#include <vector>

namespace octavo::reference {
namespace {

bool is_operand_dtype(std::uint32_t dtype) {
  return dtype == OCTAVO_F32 || dtype == OCTAVO_BF16 || dtype == OCTAVO_F16;
}

// A matrix as f64, row major, after the operands' rounding and transposition.
struct Matrix {
  Extent extent;
  std::vector<double> data;
  const double* row(std::int64_t r) const { return data.data() + r * extent.cols; }
};

Matrix load_operand(const octavo_tensor& view, bool transpose, std::uint32_t precision, const char* operation,
                    const char* name) {
  if (!is_operand_dtype(view.dtype))
    unsupported(operation, fmt::format("{} has dtype {}; F32, BF16 and F16 are supported", name, view.dtype));
  const Extent size = extent(view, operation, name);
  Matrix matrix{transpose ? Extent{size.cols, size.rows} : size, {}};
  matrix.data.resize(static_cast<std::size_t>(size.rows * size.cols));
  for (std::int64_t r = 0; r < size.rows; ++r) {
    for (std::int64_t c = 0; c < size.cols; ++c) {
      float value = load(view.data, view.dtype, r * view.row_stride + c);
      if (precision == OCTAVO_PRECISION_BF16) value = rounded_to(OCTAVO_BF16, value);
      matrix.data[static_cast<std::size_t>(transpose ? c * size.rows + r : r * size.cols + c)] = value;
    }
  }
  return matrix;
}

void multiply(const Matrix& a, const Matrix& b, bool accumulate, const octavo_tensor& c) {
  std::vector<double> sums(static_cast<std::size_t>(b.extent.cols));
  for (std::int64_t r = 0; r < a.extent.rows; ++r) {
    float* target = row_of<float>(c, r);
    for (std::size_t j = 0; j < sums.size(); ++j) sums[j] = accumulate ? double{target[j]} : 0.0;
    for (std::int64_t k = 0; k < a.extent.cols; ++k) {
      const double factor = a.row(r)[k];
      for (std::size_t j = 0; j < sums.size(); ++j) sums[j] += factor * b.row(k)[j];
    }
    for (std::size_t j = 0; j < sums.size(); ++j) target[j] = static_cast<float>(sums[j]);
  }
}

void run_matmul(const octavo_matmul& matmul) {
  constexpr const char* kOperation = "matmul";
  const Matrix a = load_operand(matmul.a, matmul.transpose_a != 0, matmul.precision, kOperation, "a");
  const Matrix b = load_operand(matmul.b, matmul.transpose_b != 0, matmul.precision, kOperation, "b");
  if (a.extent.cols != b.extent.rows) {
    bad_argument(kOperation, fmt::format("[{}, {}] times [{}, {}]", a.extent.rows, a.extent.cols,
                                         b.extent.rows, b.extent.cols));
  }
  expect(matmul.c, OCTAVO_F32, {a.extent.rows, b.extent.cols}, kOperation, "c");
  multiply(a, b, matmul.accumulate != 0, matmul.c);
}

}  // namespace

octavo_status matmul(octavo_lane*, const octavo_matmul* matmul, octavo_error* error) {
  return detail::guard(error, [&] { run_matmul(*matmul); });
}

octavo_status gram(octavo_lane*, const octavo_tensor* x, octavo_tensor* h, std::uint32_t accumulate,
                   octavo_error* error) {
  return detail::guard(error, [&] {
    constexpr const char* kOperation = "gram";
    const Matrix transposed = load_operand(*x, true, OCTAVO_PRECISION_F32, kOperation, "x");
    const Matrix straight = load_operand(*x, false, OCTAVO_PRECISION_F32, kOperation, "x");
    expect(*h, OCTAVO_F32, {straight.extent.cols, straight.extent.cols}, kOperation, "h");
    multiply(transposed, straight, accumulate != 0, *h);
  });
}

}  // namespace octavo::reference
