// Products against the reference: float ones to the accuracy of f32 sums, W8A8 bit for bit.
#include "backend_under_test.hpp"
#include "reference/convert.hpp"
#include "reference/operations.hpp"
#include "weights.hpp"

#include <octavo/grid.hpp>
#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <boost/test/unit_test.hpp>
#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace octavo::test {
namespace {

BackendUnderTest& backend() { return BackendUnderTest::get(); }

struct Factors {
  std::int64_t m, n, k;
  std::uint32_t a_dtype, b_dtype;
  bool transpose_a, transpose_b, accumulate;
  std::uint32_t precision;
};

octavo_matmul describe(const Factors& factors, octavo_tensor a, octavo_tensor b, octavo_tensor c) {
  octavo_matmul matmul{};
  matmul.struct_size = sizeof matmul;
  matmul.transpose_a = factors.transpose_a;
  matmul.transpose_b = factors.transpose_b;
  matmul.accumulate = factors.accumulate;
  matmul.precision = factors.precision;
  matmul.a = a;
  matmul.b = b;
  matmul.c = c;
  return matmul;
}

// All entries positive: the sum is as large as the sum of magnitudes, and a relative tolerance is fair.
HostTensor positive(std::uint32_t dtype, std::int64_t rows, std::int64_t cols, std::uint64_t seed) {
  HostTensor made = gaussian(dtype, rows, cols, seed, 3);
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < cols; ++c) {
      const float value = reference::load(made.bytes.data(), dtype, r * made.stride + c);
      reference::store(std::fabs(value), dtype, made.bytes.data(), r * made.stride + c);
    }
  }
  return made;
}

std::vector<float> floats(const std::vector<std::uint8_t>& bytes) {
  std::vector<float> made(bytes.size() / 4);
  if (!made.empty()) std::memcpy(made.data(), bytes.data(), bytes.size());
  return made;
}

void compare_matmul(const Factors& factors) {
  HostTensor a = factors.transpose_a ? positive(factors.a_dtype, factors.k, factors.m, 1)
                                     : positive(factors.a_dtype, factors.m, factors.k, 1);
  HostTensor b = factors.transpose_b ? positive(factors.b_dtype, factors.n, factors.k, 2)
                                     : positive(factors.b_dtype, factors.k, factors.n, 2);
  HostTensor c = positive(OCTAVO_F32, factors.m, factors.n, 3);
  const LaneTensor lane_a(a), lane_b(b), lane_c(c);
  octavo_error error = empty_error();
  const octavo_matmul expected = describe(factors, a.view(), b.view(), c.view());
  require_ok(reference::operations().matmul(nullptr, &expected, &error), error);
  const octavo_matmul found = describe(factors, lane_a.view(), lane_b.view(), lane_c.view());
  require_ok(backend().operations().matmul(backend().lane(), &found, &error), error);
  const std::vector<float> values = floats(lane_c.bytes());
  const double tolerance = factors.precision == OCTAVO_PRECISION_TF32 ? 2e-3 : 1e-5;
  for (std::int64_t r = 0; r < factors.m; ++r) {
    for (std::int64_t j = 0; j < factors.n; ++j) {
      const double want = c.row<float>(r)[j], have = values[static_cast<std::size_t>(r * c.stride + j)];
      BOOST_REQUIRE_MESSAGE(std::fabs(have - want) <= tolerance * want,
                            fmt::format("[{}, {}]: {} instead of {}", r, j, have, want));
    }
  }
}

struct W8a8 {
  std::uint32_t dtype = OCTAVO_BF16;
  std::int64_t tokens = 5, rows = 33, cols = 256, rotation = 0;
  bool one_scale = false, bias = true;
};

struct W8a8Operands {
  octavo_grid grid;
  HostTensor x, codes, scales, bias, y;

  explicit W8a8Operands(const W8a8& w)
      : x(gaussian(w.dtype, w.tokens, w.cols, 1, 2)),
        codes(matrix(OCTAVO_I8, w.rows, w.cols, 5)),
        scales(matrix(OCTAVO_F32, w.one_scale ? 1 : w.rows, 1)),
        bias(vector(w.dtype, w.rows)),
        y(matrix(w.dtype, w.tokens, w.rows, 1)) {
    octavo_layer layer{};
    layer.rows = w.rows;
    layer.cols = w.cols;
    grid = int8_grid(layer, scale_level(w.one_scale ? OCTAVO_PER_TENSOR : OCTAVO_PER_ROW));
    if (w.rotation != 0) {
      grid.basis = OCTAVO_BASIS_CONVROT;
      grid.basis_group = w.rotation;
    }
    std::mt19937 random(4);
    std::normal_distribution<float> normal;
    for (std::int64_t r = 0; r < w.rows; ++r) {
      for (std::int64_t c = 0; c < w.cols; ++c)
        codes.row<std::int8_t>(r)[c] = static_cast<std::int8_t>(static_cast<int>(random() % 256) - 128);
      reference::store(normal(random), w.dtype, bias.bytes.data(), r);
    }
    for (std::int64_t i = 0; i < scales.rows; ++i)
      *scales.row<float>(i) = 1e-3f * (1.0f + std::fabs(normal(random)));
    if (!w.bias) bias.bytes.clear();
  }

  octavo_matmul_int8 describe(octavo_tensor xv, octavo_tensor cv, octavo_tensor sv, octavo_tensor bv,
                              octavo_tensor yv) const {
    octavo_matmul_int8 made{};
    made.struct_size = sizeof made;
    made.compute_dtype = x.dtype;
    made.grid = &grid;
    made.x = xv;
    made.codes = cv;
    made.scales = sv;
    if (!bias.bytes.empty()) made.bias = bv;
    made.y = yv;
    return made;
  }
};

void compare_w8a8(W8a8Operands& operands) {
  const LaneTensor x(operands.x), codes(operands.codes), scales(operands.scales), bias(operands.bias),
      y(operands.y);
  octavo_error error = empty_error();
  const octavo_matmul_int8 expected =
      operands.describe(operands.x.view(), operands.codes.view(), operands.scales.view(),
                        operands.bias.view(), operands.y.view());
  require_ok(reference::operations().matmul_int8(nullptr, &expected, &error), error);
  const octavo_matmul_int8 found =
      operands.describe(x.view(), codes.view(), scales.view(), bias.view(), y.view());
  require_ok(backend().operations().matmul_int8(backend().lane(), &found, &error), error);
  BOOST_CHECK_EQUAL(difference(y.bytes(), operands.y.bytes), "");
}

constexpr std::uint32_t kProductDtypes[] = {OCTAVO_F32, OCTAVO_BF16, OCTAVO_F16};

}  // namespace

BOOST_AUTO_TEST_SUITE(products)

BOOST_AUTO_TEST_CASE(float_products) {
  struct Shape {
    std::int64_t m, n, k;
  };
  for (const Shape& shape :
       {Shape{1, 1, 1}, Shape{7, 5, 13}, Shape{33, 64, 257}, Shape{1, 300, 128}, Shape{128, 3, 64}}) {
    for (const std::uint32_t a : kProductDtypes) {
      for (const std::uint32_t b : kProductDtypes) {
        for (unsigned bits = 0; bits < 8; ++bits) {
          for (const std::uint32_t precision :
               {OCTAVO_PRECISION_F32, OCTAVO_PRECISION_TF32, OCTAVO_PRECISION_BF16}) {
            BOOST_TEST_CONTEXT(shape.m << " x " << shape.k << " x " << shape.n << ", " << dtype_name(a) << " "
                                       << dtype_name(b) << ", variant " << bits << ", precision "
                                       << precision) {
              compare_matmul({shape.m, shape.n, shape.k, a, b, (bits & 1) != 0, (bits & 2) != 0,
                              (bits & 4) != 0, precision});
            }
          }
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(gram_matrices) {
  for (const std::uint32_t dtype : {OCTAVO_F32, OCTAVO_BF16}) {
    for (const auto& [samples, cols] :
         {std::pair<std::int64_t, std::int64_t>{1, 1}, {3, 17}, {65, 130}, {40, 700}}) {
      for (const std::uint32_t accumulate : {0u, 1u}) {
        HostTensor x = positive(dtype, samples, cols, 1), h = matrix(OCTAVO_F32, cols, cols, 2);
        for (std::int64_t r = 0; r < cols; ++r) {
          for (std::int64_t c = 0; c < cols; ++c) h.row<float>(r)[c] = static_cast<float>(r + c);
        }
        const LaneTensor lane_x(x), lane_h(h);
        octavo_error error = empty_error();
        const octavo_tensor xv = x.view(), lane_xv = lane_x.view();
        octavo_tensor hv = h.view(), lane_hv = lane_h.view();
        require_ok(reference::operations().gram(nullptr, &xv, &hv, accumulate, &error), error);
        require_ok(backend().operations().gram(backend().lane(), &lane_xv, &lane_hv, accumulate, &error),
                   error);
        const std::vector<float> values = floats(lane_h.bytes());
        for (std::int64_t r = 0; r < cols; ++r) {
          for (std::int64_t c = 0; c < cols; ++c) {
            const float found = values[static_cast<std::size_t>(r * h.stride + c)];
            const float want = h.row<float>(r)[c];
            BOOST_REQUIRE_MESSAGE(
                std::fabs(found - want) <= 1e-5f * want,
                fmt::format("{} samples, [{}, {}]: {} instead of {}", samples, r, c, found, want));
            BOOST_REQUIRE_EQUAL(found, values[static_cast<std::size_t>(c * h.stride + r)]);
          }
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(w8a8_bit_for_bit) {
  for (const std::uint32_t dtype : kProductDtypes) {
    for (const std::int64_t rotation : {0, 16, 64, 256}) {
      for (const bool one_scale : {false, true}) {
        for (const bool bias : {false, true}) {
          BOOST_TEST_CONTEXT(dtype_name(dtype)
                             << ", rotation " << rotation << (one_scale ? ", one scale" : "")
                             << (bias ? ", bias" : "")) {
            W8a8Operands wide({dtype, 70, 131, 1280, rotation, one_scale, bias});
            compare_w8a8(wide);
            W8a8Operands one({dtype, 1, 1, rotation == 0 ? 37 : rotation, rotation, one_scale, bias});
            compare_w8a8(one);
          }
        }
      }
    }
  }
}

// A token of zeros, one with an infinity, one with NaN, tiny ones (subnormal f16 scales), huge ones.
BOOST_AUTO_TEST_CASE(w8a8_special_tokens) {
  for (const std::uint32_t dtype : kProductDtypes) {
    for (const std::int64_t rotation : {0, 256}) {
      W8a8Operands operands({dtype, 9, 19, 512, rotation, false, true});
      const auto set = [&](std::int64_t token, std::int64_t col, float value) {
        reference::store(value, dtype, operands.x.bytes.data(), token * operands.x.stride + col);
      };
      const float largest = reference::largest_finite(dtype);
      for (std::int64_t c = 0; c < 512; ++c) {
        const float value = reference::load(operands.x.bytes.data(), dtype, c);
        set(0, c, 0.0f);
        set(3, c, value * 1e-5f);
        set(4, c, value * 6e-8f);
        set(5, c, value * 1e-30f);
        set(6, c, value * std::min(largest, 0x1p110f) / 512.0f);
      }
      set(1, 77, std::numeric_limits<float>::infinity());
      set(2, 300, std::numeric_limits<float>::quiet_NaN());
      if (rotation == 0) set(7, 0, largest);
      BOOST_TEST_CONTEXT(dtype_name(dtype) << ", rotation " << rotation) { compare_w8a8(operands); }
    }
  }
}

// The largest sums there are, with pairs of products that do not fit 16 bits.
BOOST_AUTO_TEST_CASE(w8a8_sums_do_not_saturate) {
  W8a8Operands operands({OCTAVO_F32, 3, 16, 9000, 0, false, false});
  for (std::int64_t t = 0; t < 3; ++t) {
    for (std::int64_t c = 0; c < 9000; ++c) operands.x.row<float>(t)[c] = t == 0 || c % 2 == 0 ? -1.0f : 1.0f;
  }
  for (std::int64_t r = 0; r < 16; ++r) {
    for (std::int64_t c = 0; c < 9000; ++c)
      operands.codes.row<std::int8_t>(r)[c] = static_cast<std::int8_t>(r % 2 == 0   ? -128
                                                                       : c % 2 == 0 ? -127
                                                                                    : 127);
  }
  compare_w8a8(operands);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace octavo::test
