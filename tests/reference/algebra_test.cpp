// Products, sums, low-rank merges and feedback by hand and in f64.
#include "calls.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace octavo::test {
namespace {

std::vector<float> merge(Matrix<float> source, Matrix<float> up, Matrix<float> down, float strength) {
  Matrix<float> target(OCTAVO_F32, source.rows, source.cols);
  const octavo_tensor s = source.view(), u = up.view(), d = down.view();
  octavo_tensor t = target.view();
  require([&](const octavo_operations& op, octavo_error* e) {
    return op.merge_low_rank(nullptr, &s, &u, &d, strength, &t, e);
  });
  return target.data;
}

// One token through a layer of one row.
template <typename T>
T w8a8(std::uint32_t dtype, std::vector<T> x, std::vector<std::int8_t> codes, float scale,
       std::vector<T> bias = {}) {
  const std::int64_t cols = static_cast<std::int64_t>(x.size());
  const octavo_grid grid = int8(1, cols, scale_level(OCTAVO_PER_ROW));
  Matrix<T> token(dtype, 1, cols, std::move(x)), y(dtype, 1, 1);
  Matrix<std::int8_t> weight(OCTAVO_I8, 1, cols, std::move(codes));
  Matrix<float> scales = f32(1, 1, {scale});
  octavo_matmul_int8 matmul{};
  matmul.compute_dtype = dtype;
  matmul.grid = &grid;
  matmul.x = token.view();
  matmul.codes = weight.view();
  matmul.scales = scales.view();
  if (!bias.empty()) matmul.bias = tensor_view(bias.data(), dtype, {1});
  matmul.y = y.view();
  require([&](const octavo_operations& op, octavo_error* e) { return op.matmul_int8(nullptr, &matmul, e); });
  return y.data[0];
}

}  // namespace

BOOST_AUTO_TEST_SUITE(algebra)

BOOST_AUTO_TEST_CASE(low_rank_sums_go_by_rank) {
  // In f32, 1e8 + 1 is 1e8: the sum 1e8, 1, -1e8 is 0, the sum 1e8, -1e8, 1 is 1.
  check_equal(merge(f32(1, 2, {10.0f, 20.0f}), f32(1, 3, {1.0f, 1.0f, 1.0f}),
                    f32(3, 2, {1e8f, 1e8f, 1.0f, -1e8f, -1e8f, 1.0f}), 2.0f),
              {10.0f, 22.0f});
  // Each product is rounded before it is added: (1 + 2^-12)^2 rounds to 1 + 2^-11; a fused sum keeps 2^-24.
  check_equal(
      merge(f32(1, 1, {0.0f}), f32(1, 2, {-1.0f, 1.0f + 0x1p-12f}), f32(2, 1, {1.0f, 1.0f + 0x1p-12f}), 1.0f),
      {0x1p-11f});
}

BOOST_AUTO_TEST_CASE(feedback_by_hand) {
  // Column 1 first: 0.6 -> 1, residual -0.4; column 0: 0.4 - 0.4 x 0.5 = 0.2 -> 0, residual 0.4. In row 1 the
  // scale is 2 and other columns feed back 0.125 and 0.25: 3.25 / 2 -> 2, residual 3 - 4 = -1; (5.125 - 0.5)
  // / 2 -> 2, 5 - 4 = 1. With pivots 1 and 4 the metrics grow by 0.2^2 + 4 x 0.4^2 = 0.68 and by 0.625^2 +
  // 4 x 0.75^2 = 2.640625.
  const octavo_grid grid = int8(2, 2, scale_level(OCTAVO_PER_ROW));
  Matrix<float> source = f32(2, 2, {0.4f, 0.6f, 5.0f, 3.0f}), fed = f32(2, 2, {0.0f, 0.0f, 0.125f, 0.25f});
  Matrix<float> factor = f32(2, 2, {1.0f, 99.0f, 0.5f, 1.0f}), scales = f32(3, 1, {7.0f, 1.0f, 2.0f});
  Matrix<std::int8_t> codes(OCTAVO_I8, 2, 2);
  Matrix<float> residual(OCTAVO_F32, 2, 2), pivots = f32(1, 2, {1.0f, 4.0f});
  Matrix<double> metric(OCTAVO_F64, 2, 1, {0.0, 1.0});
  octavo_feedback feedback{};
  feedback.grid = &grid;
  feedback.row_begin = 1;
  feedback.source = source.view();
  feedback.fed = fed.view();
  feedback.factor = factor.view();
  feedback.scales = scales.view();
  feedback.codes = codes.view();
  feedback.residual = residual.view();
  feedback.pivots = pivots.view();
  feedback.metric = metric.view();
  const auto run = [&] {
    require([&](const octavo_operations& op, octavo_error* e) {
      return op.round_feedback(nullptr, &feedback, e);
    });
  };
  run();
  check_equal<std::int8_t>(codes.data, {0, 1, 2, 2});
  check_equal(residual.data, {0.4f, 0.6f - 1.0f, 1.0f, -1.0f});
  BOOST_TEST(metric.data[0] == 0.68, boost::test_tools::tolerance(1e-6));
  BOOST_TEST(metric.data[1] == 1.0 + 2.640625, boost::test_tools::tolerance(1e-6));
  // Without a factor and without what is fed back: nearest.
  feedback.fed = feedback.factor = feedback.pivots = octavo_tensor{};
  run();
  check_equal<std::int8_t>(codes.data, {0, 1, 2, 2});
  check_equal(residual.data, {0.4f, 0.6f - 1.0f, 1.0f, -1.0f});
  BOOST_TEST(metric.data[1] == 1.0 + 2.640625, boost::test_tools::tolerance(1e-6));
}

BOOST_AUTO_TEST_CASE(row_metric_by_hand) {
  Matrix<float> x = f32(2, 3, {1.0f, -2.0f, 3.0f, 0.5f, 0.0f, 4.0f}), pivots = f32(1, 3, {1.0f, 10.0f, 0.5f});
  Matrix<double> metric(OCTAVO_F64, 2, 1, {100.0, 0.0});
  const octavo_tensor values = x.view(), weights = pivots.view();
  octavo_tensor sums = metric.view();
  require([&](const octavo_operations& op, octavo_error* e) {
    return op.row_metric(nullptr, &values, &weights, &sums, e);
  });
  check_equal(metric.data, {100.0 + 1.0 + 40.0 + 4.5, 0.25 + 8.0});
}

BOOST_AUTO_TEST_CASE(products_and_gram) {
  Matrix<float> a = f32(2, 3, {1, 2, 3, 4, 5, 6}), b = f32(3, 2, {7, 8, 9, 10, 11, 12}),
                c = f32(2, 2, {1, 1, 1, 1});
  octavo_matmul matmul{};
  matmul.a = a.view();
  matmul.b = b.view();
  matmul.c = c.view();
  const auto run = [&] {
    require([&](const octavo_operations& op, octavo_error* e) { return op.matmul(nullptr, &matmul, e); });
  };
  run();
  check_equal(c.data, {58, 64, 139, 154});
  matmul.accumulate = 1;
  run();
  check_equal(c.data, {116, 128, 278, 308});
  matmul.accumulate = 0;
  matmul.transpose_a = matmul.transpose_b = 1;
  Matrix<float> wide(OCTAVO_F32, 3, 3);
  matmul.c = wide.view();
  run();  // a^T b^T
  check_equal(wide.data, {39, 49, 59, 54, 68, 82, 69, 87, 105});
  // Operands rounded to bf16: 1 + 2^-9 becomes 1.
  Matrix<float> one = f32(1, 1, {1.0f + 0x1p-9f}), product(OCTAVO_F32, 1, 1);
  octavo_matmul rounded{};
  rounded.precision = OCTAVO_PRECISION_BF16;
  rounded.a = rounded.b = one.view();
  rounded.c = product.view();
  require([&](const octavo_operations& op, octavo_error* e) { return op.matmul(nullptr, &rounded, e); });
  BOOST_CHECK_EQUAL(product.data[0], 1.0f);
  Matrix<float> h(OCTAVO_F32, 3, 3);
  const octavo_tensor x = a.view();
  octavo_tensor hv = h.view();
  require([&](const octavo_operations& op, octavo_error* e) { return op.gram(nullptr, &x, &hv, 0, e); });
  check_equal(h.data, {17, 22, 27, 22, 29, 36, 27, 36, 45});
}

BOOST_AUTO_TEST_CASE(differences) {
  Matrix<float> a = f32(1, 3, {1.0f, -2.0f, 3.0f}), b = f32(1, 3, {1.5f, -2.0f, 1.0f});
  octavo_error_sums sums{};
  const octavo_tensor av = a.view(), bv = b.view();
  require([&](const octavo_operations& op, octavo_error* e) {
    return op.error_sums(nullptr, &av, &bv, &sums, e);
  });
  BOOST_CHECK_EQUAL(sums.max_error, 2.0f);
  BOOST_CHECK_EQUAL(sums.error_sum, 4.25);
  BOOST_CHECK_EQUAL(sums.signal_sum, 14.0);
}

BOOST_AUTO_TEST_CASE(w8a8_by_hand) {
  // s = 2.54 / 127 = 0.02; codes 127, -50, 25 (0.51 / 0.02 = 25.5 is 25.499999 in f32).
  const float s = 2.54f / 127.0f;
  const float sum = 127.0f * 10 - 50.0f * 20 + std::nearbyint(0.51f / s) * -3;
  BOOST_CHECK_EQUAL(w8a8<float>(OCTAVO_F32, {2.54f, -1.0f, 0.51f}, {10, 20, -3}, 0.125f), sum * (s * 0.125f));
  BOOST_CHECK_EQUAL(w8a8<float>(OCTAVO_F32, {2.54f, -1.0f, 0.51f}, {10, 20, -3}, 0.125f, {7.0f}),
                    sum * (s * 0.125f) + 7.0f);
  BOOST_CHECK_EQUAL(w8a8<float>(OCTAVO_F32, {0.0f, 0.0f}, {1, 2}, 3.0f, {0.5f}), 0.5f);
  BOOST_CHECK(std::isnan(w8a8<float>(OCTAVO_F32, {1.0f, INFINITY}, {1, 2}, 3.0f)));
}

// In bf16 the divisor is the rounded scale while the result is rescaled with the scale in f32; where the
// divisor is the smaller, the largest negative value becomes -128 and the largest positive one is clamped to
// 127.
BOOST_AUTO_TEST_CASE(w8a8_reaches_minus_128_in_bf16) {
  int reached = 0;
  for (std::uint16_t bits = to_bf16(1.0f); bits < to_bf16(2.0f); ++bits) {
    const float absmax = from_bf16(bits), scale = absmax / 127.0f, divisor = from_bf16(to_bf16(scale));
    const float quotient = from_bf16(to_bf16(absmax / divisor));
    const std::uint16_t low = to_bf16(-absmax);
    const float code = std::nearbyint(quotient);  // 126, 127 or 128
    reached += code == 128.0f;
    const float negative = from_bf16(to_bf16(-code * scale)),
                positive = from_bf16(to_bf16(std::min(code, 127.0f) * scale));
    BOOST_CHECK_EQUAL(from_bf16(w8a8<std::uint16_t>(OCTAVO_BF16, {low}, {1}, 1.0f)), negative);
    BOOST_CHECK_EQUAL(from_bf16(w8a8<std::uint16_t>(OCTAVO_BF16, {bits}, {1}, 1.0f)), positive);
  }
  BOOST_CHECK_GT(reached, 0);
}

// f16: a scale below the smallest subnormal has the smallest normal as divisor, and all codes are 0.
BOOST_AUTO_TEST_CASE(w8a8_tiny_f16) {
  const std::uint16_t tiny = 0x0001;  // 2^-24; / 127 = 4.7e-10, half of which rounds to 0
  BOOST_CHECK_EQUAL(from_f16(w8a8<std::uint16_t>(OCTAVO_F16, {tiny}, {127}, 1.0f)), 0.0f);
}

// Against f64: a rotated layer's output is that of the unrotated one, up to the two roundings.
BOOST_AUTO_TEST_CASE(w8a8_output_error_is_that_of_two_roundings) {
  std::mt19937 random(9);
  std::normal_distribution<float> normal;
  const std::int64_t tokens = 32, rows = 64, cols = 1024;
  Matrix<float> weight(OCTAVO_F32, rows, cols), x(OCTAVO_F32, tokens, cols), y(OCTAVO_F32, tokens, rows);
  for (float& value : weight.data) value = normal(random);
  for (float& value : x.data) value = normal(random);
  const octavo_grid grid = rotated(rows, cols, 256);
  Matrix<std::int8_t> codes(OCTAVO_I8, rows, cols);
  Matrix<float> scales(OCTAVO_F32, rows, 1);
  nearest(grid, weight.view(), codes.view(), {scales.view()});
  octavo_matmul_int8 matmul{};
  matmul.compute_dtype = OCTAVO_F32;
  matmul.grid = &grid;
  matmul.x = x.view();
  matmul.codes = codes.view();
  matmul.scales = scales.view();
  matmul.y = y.view();
  require([&](const octavo_operations& op, octavo_error* e) { return op.matmul_int8(nullptr, &matmul, e); });
  double error = 0, signal = 0;
  for (std::int64_t t = 0; t < tokens; ++t) {
    for (std::int64_t n = 0; n < rows; ++n) {
      double exact = 0;
      for (std::int64_t k = 0; k < cols; ++k)
        exact += double{x.data[static_cast<std::size_t>(t * cols + k)]} *
                 double{weight.data[static_cast<std::size_t>(n * cols + k)]};
      const double off = double{y.data[static_cast<std::size_t>(t * rows + n)]} - exact;
      error += off * off;
      signal += exact * exact;
    }
  }
  // Crest factor 3.47 at 1,024 values: 0.0079 from the weight and as much from the token.
  BOOST_CHECK_CLOSE(std::sqrt(error / signal), 0.0112, 5.0);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace octavo::test
