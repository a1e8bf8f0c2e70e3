// The lane's products, and rounding with feedback.
#include "basis.hpp"
#include "cast.hpp"
#include "feedback.hpp"
#include "lane.hpp"
#include "operands.hpp"
#include "split.hpp"
#include "w8a8.hpp"

#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace octavo::cuda {
namespace {

// Integer products want multiples of 16 in every direction.
constexpr std::int64_t kPadding = 16;
// From so many columns on X^T X of f32 is formed in halves, and so many of its rows at a time.
constexpr std::int64_t kWideGram = 1024;
constexpr std::int64_t kGramStripe = 2048;
// Tokens whose integer sums are in memory at a time.
constexpr std::int64_t kTokensAtOnce = 2048;

std::int64_t padded(std::int64_t value) { return (value + kPadding - 1) / kPadding * kPadding; }

std::uint32_t dtype_of(ProductKind kind) {
  switch (kind) {
    case ProductKind::bf16:
      return OCTAVO_BF16;
    case ProductKind::f16:
      return OCTAVO_F16;
    default:
      return OCTAVO_F32;
  }
}

// How operands of these dtypes are multiplied. The products of two bf16 or two f16 values are exact in f32.
ProductKind kind_of(std::uint32_t a, std::uint32_t b, std::uint32_t precision) {
  if (precision == OCTAVO_PRECISION_BF16 || (a == OCTAVO_BF16 && b == OCTAVO_BF16)) return ProductKind::bf16;
  if (a == OCTAVO_F16 && b == OCTAVO_F16) return ProductKind::f16;
  return precision == OCTAVO_PRECISION_TF32 ? ProductKind::tf32 : ProductKind::f32;
}

View product_view(const octavo_tensor& tensor, const char* operation, const char* name) {
  const View view = checked_view(tensor, operation, name);
  if (view.dtype != OCTAVO_F32 && view.dtype != OCTAVO_BF16 && view.dtype != OCTAVO_F16)
    unsupported(operation, fmt::format("{} has dtype {}; F32, BF16 and F16 are supported", name, view.dtype));
  return view;
}

void clear(const View& c, cudaStream_t stream, const char* operation) {
  if (c.rows == 0 || c.cols == 0) return;
  check(cudaMemset2DAsync(c.data, static_cast<std::size_t>(c.stride) * sizeof(float), 0,
                          static_cast<std::size_t>(c.cols) * sizeof(float), static_cast<std::size_t>(c.rows),
                          stream),
        operation, "clearing the result");
}

// Columns [begin, end) and rows [top, bottom) of an f32 view.
View part_of(const View& view, std::int64_t top, std::int64_t bottom, std::int64_t begin, std::int64_t end) {
  const std::int64_t at = (top * view.stride + begin) * static_cast<std::int64_t>(bytes_of(view.dtype));
  return {static_cast<std::byte*>(view.data) + at, view.dtype, bottom - top, end - begin, view.stride};
}

void check_w8a8(const octavo_matmul_int8& matmul) {
  constexpr const char* kOperation = "matmul_int8";
  if (matmul.grid == nullptr) bad_argument(kOperation, "no grid");
  const std::uint32_t dtype = matmul.compute_dtype;
  if (dtype != OCTAVO_F32 && dtype != OCTAVO_BF16 && dtype != OCTAVO_F16)
    unsupported(kOperation, fmt::format("compute dtype {}; F32, BF16 and F16 are supported", dtype));
  const View codes = view_of(matmul.codes), x = view_of(matmul.x), scales = view_of(matmul.scales);
  checked_view(matmul.codes, OCTAVO_I8, codes.rows, codes.cols, kOperation, "codes");
  checked_view(matmul.x, dtype, x.rows, codes.cols, kOperation, "x");
  checked_view(matmul.scales, OCTAVO_F32, scales.rows == 1 ? 1 : codes.rows, 1, kOperation, "scales");
  checked_view(matmul.y, dtype, x.rows, codes.rows, kOperation, "y");
  if (matmul.bias.data != nullptr) checked_view(matmul.bias, dtype, codes.rows, 1, kOperation, "bias");
  constexpr std::int64_t kLargestExactSum = std::numeric_limits<std::int32_t>::max() / (128 * 128);
  if (codes.cols > kLargestExactSum) {
    unsupported(kOperation,
                fmt::format("{} columns; 32-bit sums are exact up to {}", codes.cols, kLargestExactSum));
  }
}

void check_feedback(const octavo_feedback& feedback) {
  constexpr const char* kOperation = "round_feedback";
  if (feedback.grid == nullptr) bad_argument(kOperation, "no grid");
  const octavo_grid& grid = *feedback.grid;
  check_codes(grid, kOperation);
  check_levels(grid, kOperation);
  if (grid.code == OCTAVO_CODE_INTEGER_ZERO) unsupported(kOperation, "zero points");
  if (grid.scale_levels != 1) unsupported(kOperation, "two levels of scales");
  const View source = view_of(feedback.source), scales = view_of(feedback.scales);
  checked_view(feedback.source, OCTAVO_F32, source.rows, source.cols, kOperation, "source");
  if (feedback.fed.data != nullptr)
    checked_view(feedback.fed, OCTAVO_F32, source.rows, source.cols, kOperation, "fed");
  if (feedback.factor.data != nullptr)
    checked_view(feedback.factor, OCTAVO_F32, source.cols, source.cols, kOperation, "factor");
  if (feedback.pivots.data != nullptr) {
    checked_view(feedback.pivots, OCTAVO_F32, 1, source.cols, kOperation, "pivots");
    checked_view(feedback.metric, OCTAVO_F64, source.rows, 1, kOperation, "metric");
  }
  checked_view(feedback.codes, grid.stored_dtype, source.rows, source.cols, kOperation, "codes");
  checked_view(feedback.residual, OCTAVO_F32, source.rows, source.cols, kOperation, "residual");
  checked_view(feedback.scales, OCTAVO_F32, scales.rows, scales.cols, kOperation, "scales");
}

// Which scale an element of the layer has.
void plan_scales(const octavo_feedback& feedback, FeedbackJob& job) {
  const octavo_scale_level& level = feedback.grid->scales[0];
  const View scales = view_of(feedback.scales);
  job.scales = static_cast<const float*>(scales.data);
  job.scales_stride = scales.stride;
  job.one_column = level.granularity == OCTAVO_PER_ROW || level.granularity == OCTAVO_PER_TENSOR;
  job.block_rows = level.granularity == OCTAVO_PER_TENSOR  ? std::numeric_limits<std::int64_t>::max()
                   : level.granularity == OCTAVO_PER_BLOCK ? level.block_rows
                                                           : 1;
  job.block_cols = job.one_column ? 1 : level.block_cols;
  const std::int64_t last_row = (job.row_begin + job.source.rows - 1) / job.block_rows;
  const std::int64_t last_col = job.one_column ? 0 : (job.col_begin + job.source.cols - 1) / job.block_cols;
  if (job.row_begin < 0 || job.col_begin < 0 || last_row >= scales.rows || last_col >= scales.cols)
    bad_argument("round_feedback", "the block lies outside of the scales");
}

}  // namespace

Products& CudaLane::products() {
  if (products_ == nullptr) products_ = std::make_unique<Products>(stream_);
  return *products_;
}

CudaLane::Operand CudaLane::operand(const View& view, ProductKind kind, const char* operation) {
  const std::uint32_t dtype = dtype_of(kind);
  if (view.dtype == dtype) return {view, std::nullopt};
  const std::int64_t bytes = view.rows * view.cols * static_cast<std::int64_t>(bytes_of(dtype));
  Operand made{{}, scratch<std::byte>(bytes, operation)};
  made.view = {made.copy->get(), dtype, view.rows, view.cols, view.cols};
  cast_values(launch(), {view, made.view, 0, false, nullptr});
  return made;
}

void CudaLane::matmul(const octavo_matmul& matmul) {
  constexpr const char* kOperation = "matmul";
  enter();
  const View a = product_view(matmul.a, kOperation, "a");
  const View b = product_view(matmul.b, kOperation, "b");
  const bool ta = matmul.transpose_a != 0, tb = matmul.transpose_b != 0;
  const std::int64_t rows = ta ? a.cols : a.rows, depth = ta ? a.rows : a.cols;
  const std::int64_t cols = tb ? b.rows : b.cols, b_depth = tb ? b.cols : b.rows;
  if (depth != b_depth)
    bad_argument(kOperation, fmt::format("[{}, {}] times [{}, {}]", rows, depth, b_depth, cols));
  const View c = checked_view(matmul.c, OCTAVO_F32, rows, cols, kOperation, "c");
  const bool accumulate = matmul.accumulate != 0;
  if (rows == 0 || cols == 0) return;
  if (depth == 0) {
    if (!accumulate) clear(c, stream_, kOperation);
    return;
  }
  const ProductKind kind = kind_of(a.dtype, b.dtype, matmul.precision);
  const Operand left = operand(a, kind, kOperation), right = operand(b, kind, kOperation);
  products().multiply({kind, rows, cols, depth, left.view.data, left.view.stride, ta, right.view.data,
                       right.view.stride, tb, c.data, c.stride, accumulate},
                      kOperation);
}

void CudaLane::gram(const octavo_tensor& x, octavo_tensor& h, bool accumulate) {
  constexpr const char* kOperation = "gram";
  enter();
  const View from = product_view(x, kOperation, "x");
  const View to = checked_view(h, OCTAVO_F32, from.cols, from.cols, kOperation, "h");
  if (to.cols == 0) return;
  if (from.rows == 0) {
    if (!accumulate) clear(to, stream_, kOperation);
    return;
  }
  const ProductKind kind = kind_of(from.dtype, from.dtype, OCTAVO_PRECISION_F32);
  if (kind == ProductKind::f32 && to.cols >= kWideGram) {
    gram_in_halves(from, to, accumulate);
  } else {
    products().multiply({kind, from.cols, from.cols, from.rows, from.data, from.stride, true, from.data,
                         from.stride, false, to.data, to.stride, accumulate},
                        kOperation);
  }
  mirror(launch(), to);
}

// X = high + low, both bf16: H = high^T high + high^T low + low^T high. What is left out is about 2^-17 of
// each product; tensor cores do it in a fifth of the time of f32 arithmetic. In stripes of rows, of which
// only what lies left of the diagonal's end is formed.
void CudaLane::gram_in_halves(const View& x, const View& h, bool accumulate) {
  constexpr const char* kOperation = "gram";
  const Scratch<std::uint16_t> high = scratch<std::uint16_t>(x.rows * x.cols, kOperation);
  const Scratch<std::uint16_t> low = scratch<std::uint16_t>(x.rows * x.cols, kOperation);
  split_values(launch(), x, high.get(), low.get());
  for (std::int64_t begin = 0; begin < x.cols; begin += kGramStripe) {
    const std::int64_t end = std::min(begin + kGramStripe, x.cols);
    const auto add = [&](const std::uint16_t* a, const std::uint16_t* b, bool onto) {
      products().multiply({ProductKind::bf16, end - begin, end, x.rows, a + begin, x.cols, true, b, x.cols,
                           false, static_cast<float*>(h.data) + begin * h.stride, h.stride, onto},
                          kOperation);
    };
    add(high.get(), low.get(), accumulate);
    add(low.get(), high.get(), true);
    add(high.get(), high.get(), true);
  }
}

void CudaLane::matmul_int8(const octavo_matmul_int8& matmul) {
  constexpr const char* kOperation = "matmul_int8";
  enter();
  check_w8a8(matmul);
  const View x = view_of(matmul.x), codes = view_of(matmul.codes), y = view_of(matmul.y);
  const std::int64_t group = basis_group(*matmul.grid, codes.cols, kOperation);
  if (y.rows == 0 || y.cols == 0) return;
  std::optional<Scratch<std::int8_t>> copy;
  View weight = codes;
  const bool direct = codes.rows % kPadding == 0 && codes.cols % kPadding == 0 &&
                      codes.stride % kPadding == 0 && codes.cols > 0 &&
                      reinterpret_cast<std::uintptr_t>(codes.data) % kPadding == 0;
  if (!direct) {
    const std::int64_t rows = padded(codes.rows), cols = padded(std::max<std::int64_t>(codes.cols, 1));
    copy.emplace(scratch<std::int8_t>(rows * cols, kOperation));
    pad_codes(launch(), codes, copy->get(), rows, cols);
    weight = {copy->get(), OCTAVO_I8, rows, cols, cols};
  }
  for (std::int64_t begin = 0; begin < x.rows; begin += kTokensAtOnce) {
    const std::int64_t end = std::min(begin + kTokensAtOnce, x.rows);
    View tokens = part_of(x, begin, end, 0, x.cols);
    std::optional<Scratch<float>> rotated;
    if (group != 0) {
      rotated.emplace(scratch<float>((end - begin) * x.cols, kOperation));
      const View target{rotated->get(), OCTAVO_F32, end - begin, x.cols, x.cols};
      change_basis(launch(), {tokens, target, group, matmul.compute_dtype, false});
      tokens = target;
    }
    multiply_tokens(matmul, tokens, weight, part_of(y, begin, end, 0, y.cols));
  }
}

void CudaLane::multiply_tokens(const octavo_matmul_int8& matmul, const View& x, const View& weight,
                               const View& y) {
  constexpr const char* kOperation = "matmul_int8";
  const std::int64_t tokens = padded(x.rows);
  const Scratch<std::int8_t> codes = scratch<std::int8_t>(tokens * weight.cols, kOperation);
  const Scratch<float> scales = scratch<float>(x.rows, kOperation);
  const Scratch<std::int32_t> sums = scratch<std::int32_t>(tokens * weight.rows, kOperation);
  quantize_tokens(launch(), {x, matmul.compute_dtype, codes.get(), tokens, weight.cols, scales.get()});
  products().multiply({ProductKind::int8, tokens, weight.rows, weight.cols, codes.get(), weight.cols, false,
                       weight.data, weight.stride, true, sums.get(), weight.rows, false},
                      kOperation);
  const View bias = matmul.bias.data != nullptr ? view_of(matmul.bias) : View{};
  finish_outputs(launch(), {sums.get(), weight.rows, scales.get(), view_of(matmul.scales), bias, y});
}

void CudaLane::round_feedback(const octavo_feedback& feedback) {
  enter();
  check_feedback(feedback);
  const std::int64_t cols = view_of(feedback.source).cols;
  if (cols == 0 || view_of(feedback.source).rows == 0) return;
  const std::int64_t most = feedback.factor.data == nullptr ? cols : feedback_columns(launch());
  std::int64_t end = cols;
  while (end > 0) {
    const std::int64_t begin = (end - 1) / most * most;
    round_columns(feedback, begin, end);
    end = begin;
  }
}

void CudaLane::round_columns(const octavo_feedback& feedback, std::int64_t begin, std::int64_t end) {
  constexpr const char* kOperation = "round_feedback";
  const View source = view_of(feedback.source), fed = view_of(feedback.fed);
  const View factor = view_of(feedback.factor), residual = view_of(feedback.residual);
  const std::int64_t rows = source.rows, cols = source.cols, width = end - begin;
  FeedbackJob job{};
  job.source = part_of(source, 0, rows, begin, end);
  if (fed.data != nullptr) job.fed = part_of(fed, 0, rows, begin, end);
  if (factor.data != nullptr) job.factor = part_of(factor, begin, end, begin, end);
  job.codes = part_of(view_of(feedback.codes), 0, rows, begin, end);
  job.residual = part_of(residual, 0, rows, begin, end);
  job.code = code_plan(*feedback.grid);
  job.row_begin = feedback.row_begin;
  job.col_begin = feedback.col_begin + begin;
  if (feedback.pivots.data != nullptr) {
    job.pivots = static_cast<const float*>(feedback.pivots.data) + begin;
    job.metric = static_cast<double*>(feedback.metric.data);
    job.metric_stride = view_of(feedback.metric).stride;
  }
  plan_scales(feedback, job);
  std::optional<Scratch<float>> started, aligned;
  if (end < cols) {
    started.emplace(scratch<float>(rows * width, kOperation));
    const View target{started->get(), OCTAVO_F32, rows, width, width};
    add_feedback(launch(), job.fed, part_of(residual, 0, rows, end, cols),
                 part_of(factor, end, cols, begin, end), target);
    job.fed = target;
  }
  const bool direct =
      job.factor.data == nullptr || (width % 32 == 0 && job.factor.stride % 4 == 0 &&
                                     reinterpret_cast<std::uintptr_t>(job.factor.data) % 16 == 0);
  if (!direct) {
    const std::int64_t stride = (width + 31) / 32 * 32;
    aligned.emplace(scratch<float>(width * stride, kOperation));
    const View target{aligned->get(), OCTAVO_F32, width, stride, stride};
    change_basis(launch(), {job.factor, target, 0, OCTAVO_F32, false});
    job.factor = target;
  }
  round_block(launch(), job);
}

void CudaLane::row_metric(const octavo_tensor& x, const octavo_tensor& pivots, octavo_tensor& metric) {
  constexpr const char* kOperation = "row_metric";
  enter();
  const View from = checked_view(x, OCTAVO_F32, view_of(x).rows, view_of(x).cols, kOperation, "x");
  const View by = checked_view(pivots, OCTAVO_F32, 1, from.cols, kOperation, "pivots");
  const View to = checked_view(metric, OCTAVO_F64, from.rows, 1, kOperation, "metric");
  add_row_metric(launch(), from, static_cast<const float*>(by.data), static_cast<double*>(to.data),
                 to.stride);
}

}  // namespace octavo::cuda
