// oneDNN multiplies; what consumers of W8A8 do around the integer product (algorithm: see matmul_int8 in
// abi/backend.h) is done by the kernels, in panels of tokens that stay in the cache.
#include "products.hpp"

#include "product_library.hpp"
#include "rotation.hpp"
#include "source_rows.hpp"

#include <octavo/grid.hpp>
#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cstring>
#include <limits>
#include <vector>

namespace octavo::cpu {
namespace {

std::size_t to_size(std::int64_t value) { return static_cast<std::size_t>(value); }

bool is_product_dtype(std::uint32_t dtype) {
  return dtype == OCTAVO_F32 || dtype == OCTAVO_BF16 || dtype == OCTAVO_F16;
}

void run(const Product& product) {
  if (product.m == 0 || product.n == 0) return;
  if (product.k == 0) {
    for (std::int64_t r = 0; r < product.m && !product.accumulate; ++r)
      std::memset(static_cast<char*>(product.c) + r * product.c_row * 4, 0, to_size(product.n) * 4);
    return;
  }
  char message[256] = "";
  if (!product_library().multiply(product, message, sizeof message))
    throw PluginError(OCTAVO_FAILED, fmt::format("[matmul] [{}, {}] x [{}, {}]: {}", product.m, product.k,
                                                 product.k, product.n, message));
}

// `count` values as `dtype` (F32 or BF16), half to even, infinities and NaN included.
void convert_row(LaneTools& tools, const Values& row, std::uint32_t dtype, void* target) {
  if (dtype == OCTAVO_F32 || tools.rows.absmax(row) < 0x7f7f8000u) {
    tools.values.cast(row.data, row.dtype, row.cols, 1.0f, target, dtype);
    return;
  }
  std::vector<float> wide(row.cols);
  tools.values.cast(row.data, row.dtype, row.cols, 1.0f, wide.data(), OCTAVO_F32);
  std::transform(wide.begin(), wide.end(), static_cast<std::uint16_t*>(target), to_bf16);
}

// An operand in the dtype that the product runs in: the view itself, or a copy.
class Operand {
 public:
  // `rounded`: to bf16 first, though the product may run in F32.
  Operand(LaneTools& tools, const octavo_tensor& view, std::uint32_t dtype, bool rounded) : view_(view) {
    if (rounded && view_.dtype != OCTAVO_BF16) replace(tools, OCTAVO_BF16, rounded_);
    if (view_.dtype != dtype) replace(tools, dtype, converted_);
  }

  const octavo_tensor& view() const { return view_; }

 private:
  void replace(LaneTools& tools, std::uint32_t dtype, Scratch& memory) {
    octavo_tensor made = view_;
    made.dtype = dtype;
    made.row_stride = view_.shape[1];
    made.data = memory.floats(to_size(view_.shape[0] * view_.shape[1]));
    const SourceRows rows(view_, tools.values, tools.decoded);
    for (std::int64_t r = 0; r < view_.shape[0]; ++r)
      convert_row(
          tools, rows.row(r), dtype,
          static_cast<char*>(made.data) + r * made.row_stride * static_cast<std::int64_t>(bytes_of(dtype)));
    view_ = made;
  }

  octavo_tensor view_;
  Scratch rounded_;
  Scratch converted_;
};

// Lower panels of x^T x, rows [first, last) of h.
void gram_panel(const octavo_tensor& x, const octavo_tensor& h, std::int64_t first, std::int64_t last,
                bool accumulate) {
  const char* start = static_cast<const char*>(x.data);
  run({last - first, last, x.shape[0], start + first * static_cast<std::int64_t>(bytes_of(x.dtype)), 1,
       x.row_stride, start, x.row_stride, 1, row_of<float>(h, first), h.row_stride, x.dtype, accumulate});
}

void mirror_lower(const octavo_tensor& h) {
  constexpr std::int64_t kBlock = 64;  // both sides of a block stay in the cache
  const std::int64_t size = h.shape[0];
  for (std::int64_t r0 = 0; r0 < size; r0 += kBlock) {
    for (std::int64_t c0 = 0; c0 <= r0; c0 += kBlock) {
      for (std::int64_t r = r0; r < std::min(r0 + kBlock, size); ++r) {
        for (std::int64_t c = c0; c < std::min(c0 + kBlock, r); ++c)
          row_of<float>(h, c)[r] = row_of<float>(h, r)[c];
      }
    }
  }
}

// ---- W8A8

// The i32 product of tokens' codes [tokens, cols] and a layer's codes [rows, cols], transposed.
class IntegerProduct {
 public:
  IntegerProduct(LaneTools& tools, const octavo_tensor& codes) : tools_(tools), codes_(codes) {}

  void run(const std::int8_t* tokens, std::int64_t count, std::int32_t* sums) {
    const std::int64_t rows = codes_.shape[0], cols = codes_.shape[1];
    if (product_library().has_exact_int8 || cols == 0)
      cpu::run({count, rows, cols, tokens, cols, 1, codes_.data, 1, codes_.row_stride, sums, rows, OCTAVO_I8,
                false});
    else
      run_in_floats(tokens, count, sums);
  }

 private:
  // Sums of 1,024 products are below 2^24 and so exact in f32.
  void run_in_floats(const std::int8_t* tokens, std::int64_t count, std::int32_t* sums) {
    constexpr std::int64_t kExact = 1024;
    const std::int64_t rows = codes_.shape[0], cols = codes_.shape[1];
    std::fill_n(sums, count * rows, 0);
    float* const partial = partial_.floats(to_size(count * rows));
    for (std::int64_t col = 0; col < cols; col += kExact) {
      const std::int64_t width = std::min(kExact, cols - col);
      float* const a = a_.floats(to_size(count * kExact));
      float* const b = b_.floats(to_size(rows * kExact));
      for (std::int64_t r = 0; r < count; ++r)
        tools_.values.scale_codes(tokens + r * cols + col, to_size(width), 1.0f, a + r * width);
      for (std::int64_t r = 0; r < rows; ++r)
        tools_.values.scale_codes(row_of<std::int8_t>(codes_, r) + col, to_size(width), 1.0f, b + r * width);
      cpu::run({count, rows, width, a, width, 1, b, 1, width, partial, rows, OCTAVO_F32, false});
      for (std::int64_t i = 0; i < count * rows; ++i) sums[i] += static_cast<std::int32_t>(partial[i]);
    }
  }

  LaneTools& tools_;
  const octavo_tensor& codes_;
  Scratch partial_, a_, b_;
};

float rounded(std::uint32_t dtype, float value) {
  if (dtype == OCTAVO_BF16) return from_bf16(to_bf16(value));
  return dtype == OCTAVO_F16 ? from_f16(to_f16(value)) : value;
}

class Int8Layer {
 public:
  Int8Layer(LaneTools& tools, const octavo_matmul_int8& matmul)
      : tools_(tools),
        matmul_(matmul),
        product_(tools, matmul.codes),
        x_(matmul.x, tools.values, tools.decoded) {
    const std::int64_t scales = matmul.scales.shape[0];
    for (std::int64_t n = 0; n < scales; ++n) scales_.push_back(*row_of<float>(matmul.scales, n));
    if (matmul.bias.data == nullptr) return;
    bias_.resize(to_size(rows()));
    tools.values.cast(matmul.bias.data, matmul.compute_dtype, bias_.size(), 1.0f, bias_.data(), OCTAVO_F32);
  }

  void run() {
    // Panels keep the sums at 8 MiB; oneDNN is at its best with some hundred tokens.
    const std::int64_t panel =
        std::clamp<std::int64_t>((std::int64_t{2} << 20) / std::max<std::int64_t>(rows(), 1), 64, 1024);
    for (std::int64_t first = 0; first < matmul_.x.shape[0]; first += panel)
      run_panel(first, std::min(panel, matmul_.x.shape[0] - first));
  }

 private:
  std::int64_t rows() const { return matmul_.codes.shape[0]; }
  std::int64_t cols() const { return matmul_.codes.shape[1]; }

  void run_panel(std::int64_t first, std::int64_t count) {
    codes_.resize(to_size(count * cols()));
    std::int32_t* const sums = reinterpret_cast<std::int32_t*>(sums_.floats(to_size(count * rows())));
    std::vector<float> token_scales;
    for (std::int64_t i = 0; i < count; ++i)
      token_scales.push_back(quantize_token(first + i, codes_.data() + i * cols()));
    product_.run(codes_.data(), count, sums);
    for (std::int64_t i = 0; i < count; ++i) {
      char* y =
          static_cast<char*>(matmul_.y.data) +
          (first + i) * matmul_.y.row_stride * static_cast<std::int64_t>(bytes_of(matmul_.compute_dtype));
      tools_.algebra.rescale(sums + i * rows(), to_size(rows()), token_scales[to_size(i)], scales_.data(),
                             scales_.size() == 1, bias_.empty() ? nullptr : bias_.data(),
                             matmul_.compute_dtype, y);
    }
  }

  // Codes of a token and its scale: NaN, with codes of 0, where something in it is not finite.
  float quantize_token(std::int64_t index, std::int8_t* codes) {
    const Values x = x_.row(index);
    float* const row = tools_.rotated.floats(x.cols);
    if (is_rotated(*matmul_.grid)) {
      tools_.rows.rotate(x.data, x.dtype, x.cols, to_size(matmul_.grid->basis_group), true, row);
      tools_.algebra.round_to(row, x.cols, matmul_.compute_dtype, row);
    } else {
      x_.copy_row(index, row);
    }
    const std::uint32_t bits = tools_.rows.absmax({row, OCTAVO_F32, 1, x.cols, 0});
    if (bits >= 0x7f800000u) {
      std::fill_n(codes, x.cols, std::int8_t{0});
      return std::numeric_limits<float>::quiet_NaN();
    }
    const float scale = scale_of(std::bit_cast<float>(bits), 127, kScaleFloor);
    float divisor = rounded(matmul_.compute_dtype, scale);
    if (divisor == 0.0f) divisor = matmul_.compute_dtype == OCTAVO_F16 ? 0x1p-14f : FLT_MIN;
    tools_.algebra.quantize_token(row, x.cols, divisor, matmul_.compute_dtype, codes);
    return scale;
  }

  LaneTools& tools_;
  const octavo_matmul_int8& matmul_;
  IntegerProduct product_;
  SourceRows x_;
  std::vector<float> scales_, bias_;
  std::vector<std::int8_t> codes_;
  Scratch sums_;
};

bool can_multiply_int8(const octavo_matmul_int8& matmul) {
  if (matmul.grid == nullptr || matmul.codes.rank != 2 || matmul.x.rank != 2 || matmul.scales.rank != 2)
    return false;
  const std::int64_t rows = matmul.codes.shape[0], cols = matmul.codes.shape[1], tokens = matmul.x.shape[0];
  constexpr std::int64_t kExactSums = std::numeric_limits<std::int32_t>::max() / (128 * 128);
  return is_product_dtype(matmul.compute_dtype) && has_fast_basis(*matmul.grid, cols) && cols > 0 &&
         cols <= kExactSums && is_matrix(matmul.x, matmul.compute_dtype, tokens, cols) &&
         is_matrix(matmul.codes, OCTAVO_I8, rows, cols) &&
         is_matrix(matmul.scales, OCTAVO_F32, matmul.scales.shape[0] == 1 ? 1 : rows, 1) &&
         is_matrix(matmul.y, matmul.compute_dtype, tokens, rows) &&
         (matmul.bias.data == nullptr || (matmul.bias.rank == 1 && matmul.bias.shape[0] == rows &&
                                          matmul.bias.dtype == matmul.compute_dtype));
}

}  // namespace

bool multiply(LaneTools& tools, const octavo_matmul& matmul) {
  const octavo_tensor &a = matmul.a, &b = matmul.b, &c = matmul.c;
  if (a.rank != 2 || b.rank != 2 || !is_product_dtype(a.dtype) || !is_product_dtype(b.dtype)) return false;
  const bool flip_a = matmul.transpose_a != 0, flip_b = matmul.transpose_b != 0;
  const std::int64_t m = a.shape[flip_a ? 1 : 0], k = a.shape[flip_a ? 0 : 1], n = b.shape[flip_b ? 0 : 1];
  if (b.shape[flip_b ? 1 : 0] != k || !is_matrix(c, OCTAVO_F32, m, n)) return false;
  const bool rounded = matmul.precision == OCTAVO_PRECISION_BF16;
  const bool both_bf16 = a.dtype == OCTAVO_BF16 && b.dtype == OCTAVO_BF16;
  const std::uint32_t dtype =
      (rounded || both_bf16) && product_library().prefers_bf16 ? OCTAVO_BF16 : OCTAVO_F32;
  const Operand left(tools, a, dtype, rounded), right(tools, b, dtype, rounded);
  const std::int64_t a_row = left.view().row_stride, b_row = right.view().row_stride;
  run({m, n, k, left.view().data, flip_a ? 1 : a_row, flip_a ? a_row : 1, right.view().data,
       flip_b ? 1 : b_row, flip_b ? b_row : 1, c.data, c.row_stride, dtype, matmul.accumulate != 0});
  return true;
}

bool add_gram(LaneTools& tools, const octavo_tensor& x, const octavo_tensor& h, bool accumulate) {
  if (x.rank != 2 || !is_product_dtype(x.dtype)) return false;
  const std::int64_t cols = x.shape[1];
  if (!is_matrix(h, OCTAVO_F32, cols, cols)) return false;
  const bool bf16 = x.dtype == OCTAVO_BF16 && product_library().prefers_bf16;
  const Operand samples(tools, x, bf16 ? OCTAVO_BF16 : OCTAVO_F32, false);
  constexpr std::int64_t kPanel = 512;
  for (std::int64_t first = 0; first < cols; first += kPanel)
    gram_panel(samples.view(), h, first, std::min(first + kPanel, cols), accumulate);
  mirror_lower(h);
  return true;
}

bool multiply_int8(LaneTools& tools, const octavo_matmul_int8& matmul) {
  if (!can_multiply_int8(matmul)) return false;
  Int8Layer(tools, matmul).run();
  return true;
}

}  // namespace octavo::cpu
