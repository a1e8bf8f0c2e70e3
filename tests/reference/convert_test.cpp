// Rounding between float dtypes against a search through every code, in f64, from the formulas of the dtypes.
#include "reference/convert.hpp"

#include "calls.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>

namespace octavo::test {
namespace {

// sign, exponent bits, mantissa bits, bias; what lies above `largest` is not a finite value.
struct Format {
  std::uint32_t dtype;
  int exponent_bits, mantissa_bits, bias;
  std::uint32_t largest;  // code of the largest finite value
};

constexpr Format kFormats[] = {{OCTAVO_F8_E4M3, 4, 3, 7, 0x7e},     {OCTAVO_F8_E5M2, 5, 2, 15, 0x7b},
                               {OCTAVO_F8_E4M3FNUZ, 4, 3, 8, 0x7f}, {OCTAVO_F8_E5M2FNUZ, 5, 2, 16, 0x7f},
                               {OCTAVO_F16, 5, 10, 15, 0x7bff},     {OCTAVO_BF16, 8, 7, 127, 0x7f7f}};

// By the textbook: (-1)^s x 2^(e - bias) x 1.m, or 2^(1 - bias) x 0.m.
double value_of(const Format& format, std::uint32_t code) {
  const int exponent = static_cast<int>(code >> format.mantissa_bits);
  const double mantissa = std::ldexp(code & ((1u << format.mantissa_bits) - 1), -format.mantissa_bits);
  return exponent == 0 ? std::ldexp(mantissa, 1 - format.bias)
                       : std::ldexp(1.0 + mantissa, exponent - format.bias);
}

// Nearest code of a magnitude, ties to the even code; largest + 1 when it is beyond.
std::uint32_t search(const Format& format, double magnitude) {
  std::uint32_t low = 0, high = format.largest + 1;  // value_of(largest + 1): where the next value would be
  while (high - low > 1) {
    const std::uint32_t middle = (low + high) / 2;
    (value_of(format, middle) <= magnitude ? low : high) = middle;
  }
  const double below = magnitude - value_of(format, low), above = value_of(format, high) - magnitude;
  if (below != above) return below < above ? low : high;
  return low % 2 == 0 ? low : high;
}

std::uint32_t bits_stored(std::uint32_t dtype, float value) {
  std::uint32_t bits = 0;
  reference::store(value, dtype, &bits, 0);
  return bits;
}

std::uint32_t sign_bit(const Format& format) { return 1u << (format.exponent_bits + format.mantissa_bits); }

void check_value(const Format& format, float value) {
  const std::uint32_t code = search(format, std::fabs(double{value}));
  const std::uint32_t found = bits_stored(format.dtype, value);
  const std::uint32_t sign = std::signbit(value) ? sign_bit(format) : 0;
  const bool fnuz = format.dtype == OCTAVO_F8_E4M3FNUZ || format.dtype == OCTAVO_F8_E5M2FNUZ;
  if (code <= format.largest) {
    BOOST_REQUIRE_EQUAL(found, fnuz && code == 0 ? 0 : code | sign);
    return;
  }
  const float back = reference::load(&found, format.dtype, 0);
  const bool has_infinity = format.dtype != OCTAVO_F8_E4M3 && !fnuz;
  BOOST_REQUIRE(has_infinity ? std::isinf(back) && std::signbit(back) == std::signbit(value)
                             : std::isnan(back));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(convert)

BOOST_AUTO_TEST_CASE(every_code_is_read_exactly) {
  for (const Format& format : kFormats) {
    for (std::uint32_t code = 0; code <= format.largest; ++code) {
      const std::uint32_t negative = code | sign_bit(format);
      BOOST_REQUIRE_EQUAL(double{reference::load(&code, format.dtype, 0)}, value_of(format, code));
      const bool is_nan =
          negative == 0x80 && (format.dtype == OCTAVO_F8_E4M3FNUZ || format.dtype == OCTAVO_F8_E5M2FNUZ);
      const double back = reference::load(&negative, format.dtype, 0);
      BOOST_REQUIRE(is_nan ? std::isnan(back) : back == -value_of(format, code));
    }
  }
  const std::uint8_t e4m3_nan = 0xff, e5m2_infinity = 0xfc, e5m2_nan = 0x7d;
  BOOST_CHECK(std::isnan(reference::load(&e4m3_nan, OCTAVO_F8_E4M3, 0)));
  BOOST_CHECK(std::isnan(reference::load(&e5m2_nan, OCTAVO_F8_E5M2, 0)));
  BOOST_CHECK_EQUAL(reference::load(&e5m2_infinity, OCTAVO_F8_E5M2, 0),
                    -std::numeric_limits<float>::infinity());
}

BOOST_AUTO_TEST_CASE(rounding_half_to_even) {
  std::mt19937 random(5);
  for (const Format& format : kFormats) {
    for (int i = 0; i < 20000; ++i) {
      const float value = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
      if (std::isfinite(value)) check_value(format, value);
    }
    const std::uint32_t step = format.largest > 0x100 ? 7 : 1;
    for (std::uint32_t code = 0; code <= format.largest; code += step) {
      const double middle = (value_of(format, code) + value_of(format, code + 1)) / 2;
      if (middle > double{std::numeric_limits<float>::max()}) continue;
      const float tie = static_cast<float>(middle);
      if (double{tie} != middle) continue;
      for (const float value : {tie, std::nextafter(tie, 0.0f), std::nextafter(tie, INFINITY)}) {
        check_value(format, value);
        check_value(format, -value);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(f64_is_rounded_to_f32) {
  const double values[] = {1.0 + 0x1p-24, 1.0 + 0x1.8p-23, 1.0 + 0x1p-24 + 0x1p-50, 1e300, -1e300, 0x1p-150};
  const float expected[] = {1.0f, 1.0f + 0x1p-22f, 1.0f + 0x1p-23f, INFINITY, -INFINITY, 0.0f};
  for (std::int64_t i = 0; i < 6; ++i) BOOST_CHECK_EQUAL(reference::load(values, OCTAVO_F64, i), expected[i]);
}

BOOST_AUTO_TEST_CASE(overflows_and_underflows_are_counted) {
  // 65519.99 rounds to 65504; 65520 is a tie and goes up, beyond the dtype; 2^-25 is a tie and goes to 0.
  Matrix<float> source =
      f32(1, 8, {65504.0f, 65519.99f, 65520.0f, -1e30f, 0x1p-24f, 0x1p-25f, -0x1p-26f, 0.0f});
  const auto cast = [&](std::uint32_t flags) {
    Matrix<std::uint16_t> target(OCTAVO_F16, 1, 8);
    octavo_cast_result result{};
    const octavo_tensor from = source.view();
    octavo_tensor to = target.view();
    require([&](const octavo_operations& op, octavo_error* e) {
      return op.cast(nullptr, &from, &to, flags, &result, e);
    });
    BOOST_CHECK_EQUAL(result.overflow_count, 2);
    BOOST_CHECK_EQUAL(result.underflow_count, 2);
    return target.data;
  };
  check_equal(cast(0), {0x7bff, 0x7bff, 0x7c00, 0xfc00, 0x0001, 0x0000, 0x8000, 0x0000});
  check_equal(cast(OCTAVO_TILE_CLAMP_OVERFLOW),
              {0x7bff, 0x7bff, 0x7bff, 0xfbff, 0x0001, 0x0000, 0x8000, 0x0000});
}

BOOST_AUTO_TEST_CASE(infinities_pass_or_become_zero) {
  Matrix<float> source = f32(1, 3, {INFINITY, -INFINITY, std::nanf("")});
  const auto cast = [&](std::uint32_t flags) {
    Matrix<std::uint16_t> target(OCTAVO_F16, 1, 3);
    octavo_cast_result result{};
    const octavo_tensor from = source.view();
    octavo_tensor to = target.view();
    require([&](const octavo_operations& op, octavo_error* e) {
      return op.cast(nullptr, &from, &to, flags, &result, e);
    });
    BOOST_CHECK_EQUAL(result.overflow_count, 0);
    BOOST_CHECK_EQUAL(result.underflow_count, 0);
    return target.data;
  };
  check_equal(cast(OCTAVO_TILE_CLAMP_OVERFLOW), {0x7c00, 0xfc00, 0x7e00});
  check_equal(cast(OCTAVO_TILE_ZERO_NONFINITE), {0, 0, 0});
}

BOOST_AUTO_TEST_CASE(tile_of_a_cast_grid) {
  octavo_layer layer{};
  layer.rows = 1;
  layer.cols = 4;
  const octavo_grid grid = cast_grid(layer, OCTAVO_F16);
  Matrix<float> source = f32(1, 4, {1.0f + 0x1p-12f, 1e9f, INFINITY, 0x1p-30f});
  Matrix<std::uint16_t> codes(OCTAVO_F16, 1, 4);
  const octavo_tile_result result = nearest(grid, source.view(), codes.view(), {});
  check_equal(codes.data, {0x3c00, 0x7c00, 0x7c00, 0x0000});
  BOOST_CHECK_EQUAL(result.overflow_count, 1);
  BOOST_CHECK_EQUAL(result.underflow_count, 1);
  BOOST_CHECK_EQUAL(result.nonfinite_count, 1);
  BOOST_CHECK_EQUAL(result.nonfinite_first, 2);
  BOOST_CHECK_EQUAL(result.max_error, 0x1p-12f);  // what became infinite is not in the sums
  BOOST_CHECK_EQUAL(result.error_sum, 0x1p-24 + 0x1p-60);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace octavo::test
