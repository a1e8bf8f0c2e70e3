// W8A8 as the consumers run it (the eager int8_linear of comfy-kitchen), C(v) being v rounded to the compute
// dtype: rotate x and round to C; a = absmax of the token; s = max(a / 127, 1e-30) in f32; divisor d = C(s),
// or the smallest normal of C if that is 0; q = clamp(rint(C(x / d)), -128, 127); exact integer sums; y =
// C(sum x (s x row scale)), the two scales multiplied first; y = C(y + C(bias)). Codes are made with d and
// rescaled with s, as there. A token with a value that is not finite gives NaN.
#include "reference/algebra.hpp"
#include "reference/basis.hpp"
#include "reference/convert.hpp"
#include "reference/view.hpp"

#include <octavo/grid.hpp>
#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <limits>
#include <vector>

namespace octavo::reference {
namespace {

constexpr const char* kOperation = "matmul_int8";

struct Token {
  std::vector<std::int32_t> codes;
  float scale;
};

float smallest_normal(std::uint32_t dtype) { return dtype == OCTAVO_F16 ? 0x1p-14f : FLT_MIN; }

Token quantize_token(const octavo_matmul_int8& matmul, std::int64_t index) {
  std::vector<float> x(static_cast<std::size_t>(extent(matmul.x, kOperation, "x").cols));
  load_row(matmul.x, index, x);
  if (matmul.grid->basis == OCTAVO_BASIS_CONVROT) {
    apply_basis(*matmul.grid, x);
    for (float& value : x) value = rounded_to(matmul.compute_dtype, value);
  }
  float largest = 0.0f;
  for (const float value : x) {
    if (!std::isfinite(value)) return {{}, std::numeric_limits<float>::quiet_NaN()};
    largest = std::max(largest, std::fabs(value));
  }
  Token token{std::vector<std::int32_t>(x.size()), scale_of(largest, 127, kScaleFloor)};
  float divisor = rounded_to(matmul.compute_dtype, token.scale);
  if (divisor == 0.0f) divisor = smallest_normal(matmul.compute_dtype);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float quotient = rounded_to(matmul.compute_dtype, x[i] / divisor);
    token.codes[i] = static_cast<std::int32_t>(std::clamp(std::nearbyint(quotient), -128.0f, 127.0f));
  }
  return token;
}

void write_outputs(const octavo_matmul_int8& matmul, std::int64_t index, const Token& token) {
  const std::int64_t rows = extent(matmul.codes, kOperation, "codes").rows;
  const bool whole_tensor = extent(matmul.scales, kOperation, "scales").rows == 1;
  for (std::int64_t n = 0; n < rows; ++n) {
    const std::int8_t* codes = row_of<std::int8_t>(matmul.codes, n);
    std::int32_t sum = 0;
    for (std::size_t k = 0; k < token.codes.size(); ++k) sum += token.codes[k] * codes[k];
    const float scale = token.scale * *row_of<float>(matmul.scales, whole_tensor ? 0 : n);
    float y = rounded_to(matmul.compute_dtype, static_cast<float>(sum) * scale);
    if (matmul.bias.data != nullptr)
      y = rounded_to(matmul.compute_dtype, y + load(matmul.bias.data, matmul.compute_dtype, n));
    store(y, matmul.compute_dtype, matmul.y.data, index * matmul.y.row_stride + n);
  }
}

void check_matmul(const octavo_matmul_int8& matmul) {
  if (matmul.grid == nullptr) bad_argument(kOperation, "no grid");
  if (matmul.compute_dtype != OCTAVO_F32 && matmul.compute_dtype != OCTAVO_BF16 &&
      matmul.compute_dtype != OCTAVO_F16)
    unsupported(kOperation,
                fmt::format("compute dtype {}; F32, BF16 and F16 are supported", matmul.compute_dtype));
  const Extent x = extent(matmul.x, kOperation, "x");
  const Extent codes = extent(matmul.codes, kOperation, "codes");
  expect(matmul.x, matmul.compute_dtype, {x.rows, codes.cols}, kOperation, "x");
  expect(matmul.codes, OCTAVO_I8, codes, kOperation, "codes");
  const Extent scales = extent(matmul.scales, kOperation, "scales");
  expect(matmul.scales, OCTAVO_F32, {scales.rows == 1 ? 1 : codes.rows, 1}, kOperation, "scales");
  expect(matmul.y, matmul.compute_dtype, {x.rows, codes.rows}, kOperation, "y");
  if (matmul.bias.data != nullptr)
    expect(matmul.bias, matmul.compute_dtype, {codes.rows, 1}, kOperation, "bias");
  check_basis(*matmul.grid, codes.cols, kOperation);
  constexpr std::int64_t kLargestExactSum = std::numeric_limits<std::int32_t>::max() / (128 * 128);
  if (codes.cols > kLargestExactSum) {
    unsupported(kOperation,
                fmt::format("{} columns; 32-bit sums are exact up to {}", codes.cols, kLargestExactSum));
  }
}

}  // namespace

octavo_status matmul_int8(octavo_lane*, const octavo_matmul_int8* matmul, octavo_error* error) {
  return detail::guard(error, [&] {
    check_matmul(*matmul);
    const std::int64_t tokens = extent(matmul->x, kOperation, "x").rows;
    for (std::int64_t i = 0; i < tokens; ++i) {
      const Token token = quantize_token(*matmul, i);
      write_outputs(*matmul, i, token);
    }
  });
}

}  // namespace octavo::reference
