// Products, sums, merges and feedback against the reference.
#include "backend_under_test.hpp"
#include "reference/convert.hpp"
#include "reference/operations.hpp"
#include "weights.hpp"

#include <octavo/grid.hpp>
#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <boost/test/unit_test.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace octavo::test {
namespace {

// ||found - expected|| / ||expected|| of two f32 matrices with the same layout.
double relative_error(std::vector<std::uint8_t> found, HostTensor expected) {
  HostTensor other = expected;
  other.bytes = std::move(found);
  double error = 0.0, signal = 0.0;
  for (std::int64_t r = 0; r < expected.rows; ++r) {
    for (std::int64_t c = 0; c < expected.cols; ++c) {
      const double value = expected.row<float>(r)[c];
      const double off = other.row<float>(r)[c] - value;
      error += off * off;
      signal += value * value;
    }
  }
  return std::sqrt(error / signal);
}

struct Case {
  std::int64_t rows, cols, depth;
  bool transpose_a, transpose_b, accumulate;
  std::uint32_t a, b, precision;
};

double tolerance(const Case& test) {
  if (test.precision == OCTAVO_PRECISION_TF32 && (test.a == OCTAVO_F32 || test.b == OCTAVO_F32)) return 1e-3;
  return 2e-6;
}

void compare_matmul(const Case& test) {
  BackendUnderTest& backend = BackendUnderTest::get();
  HostTensor a = gaussian(test.a, test.transpose_a ? test.depth : test.rows,
                          test.transpose_a ? test.rows : test.depth, 1, 3);
  HostTensor b = gaussian(test.b, test.transpose_b ? test.cols : test.depth,
                          test.transpose_b ? test.depth : test.cols, 2, 5);
  HostTensor c = gaussian(OCTAVO_F32, test.rows, test.cols, 3, 1);
  const LaneTensor lane_a(a), lane_b(b), lane_c(c);
  octavo_matmul matmul{};
  matmul.struct_size = sizeof matmul;
  matmul.transpose_a = test.transpose_a ? 1 : 0;
  matmul.transpose_b = test.transpose_b ? 1 : 0;
  matmul.accumulate = test.accumulate ? 1 : 0;
  matmul.precision = test.precision;
  octavo_matmul in_lane = matmul;
  matmul.a = a.view(), matmul.b = b.view(), matmul.c = c.view();
  in_lane.a = lane_a.view(), in_lane.b = lane_b.view(), in_lane.c = lane_c.view();
  octavo_error error = empty_error();
  require_ok(reference::operations().matmul(nullptr, &matmul, &error), error);
  require_ok(backend.operations().matmul(backend.lane(), &in_lane, &error), error);
  const double off = relative_error(lane_c.bytes(), c);
  BOOST_CHECK_MESSAGE(off <= tolerance(test),
                      fmt::format("[{}, {}] x [{}, {}] {}{}{}, dtypes {} and {}, precision {}: off by {}",
                                  test.rows, test.depth, test.depth, test.cols,
                                  test.transpose_a ? "a^T " : "", test.transpose_b ? "b^T " : "",
                                  test.accumulate ? "+c" : "", test.a, test.b, test.precision, off));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(algebra)

BOOST_AUTO_TEST_CASE(products_of_every_kind) {
  struct Shape {
    std::int64_t rows, cols, depth;
  };
  for (const Shape shape : {Shape{1, 1, 1}, Shape{7, 13, 5}, Shape{64, 96, 128}, Shape{65, 33, 257}}) {
    for (const std::uint32_t precision :
         {OCTAVO_PRECISION_F32, OCTAVO_PRECISION_TF32, OCTAVO_PRECISION_BF16}) {
      for (const std::uint32_t a : {OCTAVO_F32, OCTAVO_BF16, OCTAVO_F16}) {
        for (const std::uint32_t b : {OCTAVO_F32, OCTAVO_BF16, OCTAVO_F16}) {
          for (int flags = 0; flags < 8; ++flags) {
            compare_matmul({shape.rows, shape.cols, shape.depth, (flags & 1) != 0, (flags & 2) != 0,
                            (flags & 4) != 0, a, b, precision});
          }
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_product_with_itself) {
  BackendUnderTest& backend = BackendUnderTest::get();
  for (const std::uint32_t dtype : {OCTAVO_F32, OCTAVO_BF16, OCTAVO_F16}) {
    for (const std::int64_t cols : {1, 37, 256, 1100, 2300}) {
      HostTensor x = gaussian(dtype, cols > 2000 ? 70 : 301, cols, 4, 2),
                 h = gaussian(OCTAVO_F32, cols, cols, 5, 3);
      for (std::int64_t r = 0; r < cols; ++r) {
        for (std::int64_t c = 0; c < r; ++c) h.row<float>(c)[r] = h.row<float>(r)[c];
      }
      const LaneTensor lane_x(x), lane_h(h);
      const octavo_tensor in = x.view(), lane_in = lane_x.view();
      octavo_tensor out = h.view(), lane_out = lane_h.view();
      octavo_error error = empty_error();
      for (const std::uint32_t accumulate : {1u, 0u}) {
        require_ok(reference::operations().gram(nullptr, &in, &out, accumulate, &error), error);
        require_ok(backend.operations().gram(backend.lane(), &lane_in, &lane_out, accumulate, &error), error);
        HostTensor found = h;
        found.bytes = lane_h.bytes();
        // Wide products of f32 values are those of two bf16 halves each.
        BOOST_CHECK_LE(relative_error(found.bytes, h), dtype == OCTAVO_F32 && cols > 1000 ? 5e-6 : 2e-6);
        for (std::int64_t r = 0; r < cols; ++r) {
          for (std::int64_t c = 0; c < r; ++c)
            BOOST_REQUIRE_EQUAL(found.row<float>(r)[c], found.row<float>(c)[r]);
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(w8a8_as_consumers_run_it) {
  BackendUnderTest& backend = BackendUnderTest::get();
  for (const std::uint32_t dtype : {OCTAVO_F32, OCTAVO_BF16, OCTAVO_F16}) {
    for (const std::int64_t group : {0, 16, 256}) {
      for (const std::int64_t rows : {1, 48, 131}) {
        for (const bool whole : {false, true}) {
          const std::int64_t cols = group == 0 ? 77 : 3 * group;
          octavo_layer layer{};
          octavo_grid grid = int8_grid(layer, scale_level(OCTAVO_PER_ROW));
          grid.basis = group == 0 ? OCTAVO_BASIS_PLAIN : OCTAVO_BASIS_CONVROT;
          grid.basis_group = group;
          HostTensor x = gaussian(dtype, 19, cols, 6, 1), codes = matrix(OCTAVO_I8, rows, cols, 2);
          HostTensor scales = gaussian(OCTAVO_F32, whole ? 1 : rows, 1, 7), bias = vector(dtype, rows);
          HostTensor y = matrix(dtype, 19, rows, 4);
          for (std::size_t i = 0; i < codes.bytes.size(); ++i)
            codes.bytes[i] = static_cast<std::uint8_t>(i * 37 % 255 + 129);  // -127 to 127
          const HostTensor values = gaussian(dtype, rows, 1, 8);
          bias.bytes = values.bytes;
          const LaneTensor lane_x(x), lane_codes(codes), lane_scales(scales), lane_bias(bias), lane_y(y);
          octavo_matmul_int8 matmul{};
          matmul.struct_size = sizeof matmul;
          matmul.compute_dtype = dtype;
          matmul.grid = &grid;
          octavo_matmul_int8 in_lane = matmul;
          matmul.x = x.view(), matmul.codes = codes.view(), matmul.scales = scales.view();
          matmul.bias = bias.view(), matmul.y = y.view();
          in_lane.x = lane_x.view(), in_lane.codes = lane_codes.view(), in_lane.scales = lane_scales.view();
          in_lane.bias = lane_bias.view(), in_lane.y = lane_y.view();
          octavo_error error = empty_error();
          require_ok(reference::operations().matmul_int8(nullptr, &matmul, &error), error);
          require_ok(backend.operations().matmul_int8(backend.lane(), &in_lane, &error), error);
          BOOST_TEST_CONTEXT(dtype_name(dtype) << ", groups of " << group << ", " << rows << " rows") {
            BOOST_CHECK_EQUAL(difference(lane_y.bytes(), y.bytes), "");
          }
        }
      }
    }
  }
}

namespace {

// The code's value for a quotient, from the definition of its kind.
float rounded_code(const octavo_grid& grid, double t) {
  if (grid.code == OCTAVO_CODE_INTEGER)
    return static_cast<float>(std::clamp(std::nearbyint(t), double(grid.qmin), double(grid.qmax)));
  std::uint8_t bits = 0;
  reference::store(static_cast<float>(std::clamp(t, -448.0, 448.0)), grid.stored_dtype, &bits, 0);
  return reference::load(&bits, grid.stored_dtype, 0);
}

float stored_code(const octavo_grid& grid, const octavo_tensor& codes, std::int64_t row, std::int64_t col) {
  const std::int64_t at = row * codes.row_stride + col;
  if (grid.code == OCTAVO_CODE_INTEGER) return static_cast<const std::int8_t*>(codes.data)[at];
  return reference::load(codes.data, grid.stored_dtype, at);
}

float scale_at(const octavo_feedback& feedback, std::int64_t row, std::int64_t col) {
  const octavo_scale_level& level = feedback.grid->scales[0];
  const std::int64_t r = level.granularity == OCTAVO_PER_TENSOR ? 0
                         : level.granularity == OCTAVO_PER_BLOCK
                             ? (feedback.row_begin + row) / level.block_rows
                             : feedback.row_begin + row;
  const std::int64_t c =
      level.granularity >= OCTAVO_PER_BLOCK ? (feedback.col_begin + col) / level.block_cols : 0;
  return row_of<float>(feedback.scales, r)[c];
}

// From the residuals that came out: every code is the rounding of its own feedback in double precision,
// unless that is as close to a tie as f32 sums can be wrong; every residual is what its code leaves, to the
// bit.
void check_feedback(const octavo_feedback& feedback) {
  for (std::int64_t r = 0; r < feedback.source.shape[0]; ++r) {
    for (std::int64_t k = 0; k < feedback.source.shape[1]; ++k) {
      double f = double{row_of<float>(feedback.source, r)[k]} + row_of<float>(feedback.fed, r)[k];
      double magnitude = std::fabs(f);
      for (std::int64_t i = k + 1; i < feedback.source.shape[1]; ++i) {
        const double term =
            double{row_of<float>(feedback.residual, r)[i]} * double{row_of<float>(feedback.factor, i)[k]};
        f += term;
        magnitude += std::fabs(term);
      }
      const float scale = scale_at(feedback, r, k), code = stored_code(*feedback.grid, feedback.codes, r, k);
      const double doubt = 1e-5 * magnitude / scale + 1e-6;
      BOOST_REQUIRE_GE(code, rounded_code(*feedback.grid, f / scale - doubt));
      BOOST_REQUIRE_LE(code, rounded_code(*feedback.grid, f / scale + doubt));
      const float left = row_of<float>(feedback.source, r)[k] - code * scale;
      BOOST_REQUIRE_EQUAL(row_of<float>(feedback.residual, r)[k], left);
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(feedback_column_by_column) {
  BackendUnderTest& backend = BackendUnderTest::get();
  struct Shape {
    std::int64_t rows, cols;
  };
  const octavo_scale_level levels[] = {scale_level(OCTAVO_PER_ROW), scale_level(OCTAVO_PER_TENSOR),
                                       scale_level(OCTAVO_PER_BLOCK, 16, 24),
                                       scale_level(OCTAVO_PER_GROUP, 0, 32)};
  for (const Shape shape : {Shape{1, 1}, Shape{5, 7}, Shape{70, 128}, Shape{300, 96}, Shape{100, 256},
                            Shape{33, 224}, Shape{9, 300}}) {
    for (const octavo_scale_level& level : levels) {
      for (const octavo_code code : {OCTAVO_CODE_INTEGER, OCTAVO_CODE_E4M3}) {
        octavo_layer layer{};
        octavo_grid grid = int8_grid(layer, level);
        if (code == OCTAVO_CODE_E4M3) {
          grid.code = code;
          grid.stored_dtype = OCTAVO_F8_E4M3;
        }
        constexpr std::int64_t kRowBegin = 11, kColBegin = 40;
        const ScaleShape cells = scale_shape(level, shape.rows + kRowBegin, shape.cols + kColBegin);
        HostTensor source = gaussian(OCTAVO_F32, shape.rows, shape.cols, 9, 3);
        HostTensor fed = gaussian(OCTAVO_F32, shape.rows, shape.cols, 13, 4);
        HostTensor factor = gaussian(OCTAVO_F32, shape.cols, shape.cols, 10, 1);
        HostTensor scales = matrix(OCTAVO_F32, cells.rows, cells.cols);
        for (std::int64_t i = 0; i < cells.rows * cells.cols; ++i)
          scales.row<float>(0)[i] = 0.02f + 0.001f * static_cast<float>(i % 7);
        for (std::int64_t i = 0; i < shape.cols * factor.stride; ++i) factor.row<float>(0)[i] *= 0.2f;
        HostTensor codes = matrix(grid.stored_dtype, shape.rows, shape.cols, 2);
        HostTensor residual = matrix(OCTAVO_F32, shape.rows, shape.cols, 1);
        const LaneTensor lane_source(source), lane_fed(fed), lane_factor(factor), lane_scales(scales),
            lane_codes(codes), lane_residual(residual);
        octavo_feedback feedback{};
        feedback.struct_size = sizeof feedback;
        feedback.grid = &grid;
        feedback.row_begin = kRowBegin;
        feedback.col_begin = kColBegin;
        octavo_feedback in_lane = feedback;
        feedback.source = source.view(), feedback.fed = fed.view(), feedback.factor = factor.view();
        feedback.scales = scales.view(), feedback.codes = codes.view(), feedback.residual = residual.view();
        in_lane.source = lane_source.view(), in_lane.fed = lane_fed.view();
        in_lane.factor = lane_factor.view(), in_lane.scales = lane_scales.view();
        in_lane.codes = lane_codes.view(), in_lane.residual = lane_residual.view();
        octavo_error error = empty_error();
        require_ok(backend.operations().round_feedback(backend.lane(), &in_lane, &error), error);
        codes.bytes = lane_codes.bytes();
        residual.bytes = lane_residual.bytes();
        feedback.codes = codes.view(), feedback.residual = residual.view();
        BOOST_TEST_CONTEXT(shape.rows << " x " << shape.cols << ", granularity " << level.granularity
                                      << ", code " << code) {
          check_feedback(feedback);
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(merged_updates_are_class_a) {
  BackendUnderTest& backend = BackendUnderTest::get();
  for (const std::uint32_t dtype : kWeightDtypes) {
    for (const std::int64_t rank : {1, 16, 37}) {
      HostTensor source = weights(Weights::gaussian, dtype, 71, 133, 1);
      HostTensor up = gaussian(OCTAVO_F32, 71, rank, 11, 2), down = gaussian(OCTAVO_F32, rank, 133, 12, 3);
      HostTensor target = matrix(OCTAVO_F32, 71, 133, 4);
      const LaneTensor lane_source(source), lane_up(up), lane_down(down), lane_target(target);
      const octavo_tensor views[] = {source.view(), up.view(), down.view()};
      const octavo_tensor lane_views[] = {lane_source.view(), lane_up.view(), lane_down.view()};
      octavo_tensor into = target.view(), lane_into = lane_target.view();
      octavo_error error = empty_error();
      require_ok(reference::operations().merge_low_rank(nullptr, &views[0], &views[1], &views[2], 0.37f,
                                                        &into, &error),
                 error);
      require_ok(backend.operations().merge_low_rank(backend.lane(), &lane_views[0], &lane_views[1],
                                                     &lane_views[2], 0.37f, &lane_into, &error),
                 error);
      BOOST_TEST_CONTEXT(dtype_name(dtype) << ", rank " << rank) {
        BOOST_CHECK_EQUAL(difference(lane_target.bytes(), target.bytes), "");
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(sums_of_errors) {
  BackendUnderTest& backend = BackendUnderTest::get();
  for (const std::uint32_t a : {OCTAVO_F32, OCTAVO_BF16, OCTAVO_F64}) {
    for (const std::uint32_t b : {OCTAVO_F32, OCTAVO_F16}) {
      for (const std::int64_t room : {0, 5}) {
        HostTensor left = weights(Weights::gaussian, a, 37, 1031, room);
        HostTensor right = weights(Weights::gaussian, b, 37, 1031, room);
        const LaneTensor lane_left(left), lane_right(right);
        const octavo_tensor views[] = {left.view(), right.view()};
        const octavo_tensor lane_views[] = {lane_left.view(), lane_right.view()};
        octavo_error_sums expected{}, found{};
        expected.struct_size = found.struct_size = sizeof found;
        octavo_error error = empty_error();
        require_ok(reference::operations().error_sums(nullptr, &views[0], &views[1], &expected, &error),
                   error);
        require_ok(
            backend.operations().error_sums(backend.lane(), &lane_views[0], &lane_views[1], &found, &error),
            error);
        backend.finish();
        BOOST_CHECK_EQUAL(found.max_error, expected.max_error);
        BOOST_CHECK_CLOSE(found.error_sum, expected.error_sum, 1e-10);
        BOOST_CHECK_CLOSE(found.signal_sum, expected.signal_sum, 1e-10);
      }
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace octavo::test
