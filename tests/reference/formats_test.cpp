// Grids other than INT8: scaled FP8, two levels (NVFP4), powers of two (MXFP8), zero points; and
// dequantization.
#include "calls.hpp"
#include "reference/scales.hpp"

#include <algorithm>
#include <cmath>
#include <random>

namespace octavo::test {
namespace {

octavo_grid code_grid(octavo_code code, octavo_dtype stored, std::int64_t rows, std::int64_t cols) {
  octavo_grid grid = int8(rows, cols, scale_level(OCTAVO_PER_ROW));
  grid.code = code;
  grid.stored_dtype = stored;
  return grid;
}

std::vector<float> dequantize(const octavo_grid& grid, octavo_tensor codes, std::vector<octavo_tensor> scales,
                              octavo_tensor zero_points = {}, bool plain = false) {
  octavo_tile tile{};
  tile.grid = &grid;
  tile.codes = codes;
  for (std::size_t i = 0; i < scales.size(); ++i) tile.scales[i] = scales[i];
  tile.zero_points = zero_points;
  Matrix<float> target(OCTAVO_F32, codes.shape[0], codes.shape[1]);
  octavo_tensor to = target.view();
  require([&](const octavo_operations& op, octavo_error* e) {
    return op.dequantize(nullptr, &tile, plain, &to, e);
  });
  return target.data;
}

constexpr float kE2m1[8] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};

}  // namespace

BOOST_AUTO_TEST_SUITE(other_grids)

BOOST_AUTO_TEST_CASE(scaled_e4m3) {
  octavo_grid grid = code_grid(OCTAVO_CODE_E4M3, OCTAVO_F8_E4M3, 1, 6);
  // Scale 2: 896 -> 448; 3 -> 1.5; 34 -> 17, between 16 (even mantissa) and 18: a tie; 38 -> 19, between 18
  // and 20.
  Matrix<float> source = f32(1, 6, {896.0f, 3.0f, 34.0f, 38.0f, -2.0f, 0x1p-9f});
  Matrix<std::uint8_t> codes(OCTAVO_F8_E4M3, 1, 6);
  Matrix<float> scales(OCTAVO_F32, 1, 1);
  nearest(grid, source.view(), codes.view(), {scales.view()});
  BOOST_CHECK_EQUAL(scales.data[0], 2.0f);
  check_equal(dequantize(grid, codes.view(), {scales.view()}), {896.0f, 3.0f, 32.0f, 40.0f, -2.0f, 0.0f});
  BOOST_CHECK_EQUAL(codes.data[0], 0x7e);
}

BOOST_AUTO_TEST_CASE(scaled_e5m2) {
  octavo_grid grid = code_grid(OCTAVO_CODE_E5M2, OCTAVO_F8_E5M2, 1, 3);
  Matrix<float> source = f32(1, 3, {57344.0f, 5.5f, -4.5f});  // steps of 1 from 4 to 8
  Matrix<std::uint8_t> codes(OCTAVO_F8_E5M2, 1, 3);
  Matrix<float> scales(OCTAVO_F32, 1, 1);
  nearest(grid, source.view(), codes.view(), {scales.view()});
  check_equal(dequantize(grid, codes.view(), {scales.view()}), {57344.0f, 6.0f, -4.0f});
}

// NVFP4: absmax / (448 x 6) for the tensor, E4M3 for groups of 16, codes in a nibble.
BOOST_AUTO_TEST_CASE(two_levels) {
  octavo_grid grid = code_grid(OCTAVO_CODE_E2M1, OCTAVO_U8, 2, 32);
  grid.scale_levels = 2;
  grid.scales[0] = {OCTAVO_PER_GROUP, OCTAVO_SCALE_ABSMAX, OCTAVO_F8_E4M3, 0.0f, 0, 16};
  grid.scales[1] = {OCTAVO_PER_TENSOR, OCTAVO_SCALE_ABSMAX, OCTAVO_F32, 0.0f, 0, 0};
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  Matrix<float> source(OCTAVO_F32, 2, 32);
  for (float& value : source.data) value = normal(random);
  std::fill_n(source.data.begin() + 16, 16, 0.0f);  // a group of zeros
  float absmax = 0.0f;
  for (const float value : source.data) absmax = std::max(absmax, std::fabs(value));
  Matrix<std::uint8_t> codes(OCTAVO_U8, 2, 32), scales(OCTAVO_F8_E4M3, 2, 2);
  nearest(grid, source.view(), codes.view(), {scales.view()}, absmax);

  Matrix<float> outer = f32(1, 1, {absmax / (6.0f * 448.0f)});
  const std::vector<float> back = dequantize(grid, codes.view(), {scales.view(), outer.view()});
  for (std::size_t group = 0; group < 4; ++group) {
    float largest = 0.0f;
    for (std::size_t i = 0; i < 16; ++i) largest = std::max(largest, std::fabs(source.data[16 * group + i]));
    const double inner = from_f8(scales.data[group], OCTAVO_F8_E4M3);
    const double wanted = double{largest} / 6.0 / double{outer.data[0]};
    BOOST_CHECK_LE(std::fabs(inner - wanted), wanted / 16);  // half a step of three mantissa bits
    for (std::size_t i = 0; i < 16; ++i) {
      const double scale = inner * double{outer.data[0]}, value = source.data[16 * group + i];
      double best = std::fabs(value);
      for (const float magnitude : kE2m1)
        best = std::min(best, std::fabs(std::fabs(value) - double{magnitude} * scale));
      BOOST_CHECK_LE(std::fabs(value - double{back[16 * group + i]}), best + 1e-6);
      BOOST_CHECK_LT(codes.data[16 * group + i], 16);
    }
  }
  BOOST_CHECK_EQUAL(scales.data[1], 0);
  BOOST_CHECK(std::all_of(back.begin() + 16, back.begin() + 32, [](float value) { return value == 0.0f; }));
}

// The scale that the host stores for a whole layer is the one that nearest divided by: codes x it give the
// layer back to half a step, and the largest element has the largest code.
BOOST_AUTO_TEST_CASE(one_scale_for_a_layer) {
  const float absmax = 3.7f;
  const octavo_scale_level whole = scale_level(OCTAVO_PER_TENSOR);
  const auto stored_scale = [&](const octavo_grid& grid, std::uint32_t level) {
    Matrix<float> scale(OCTAVO_F32, 1, 1);
    reference::store_layer_scale(grid, level, absmax, scale.data.data());
    BOOST_CHECK_EQUAL(scale.data[0], reference::layer_scale(grid, level, absmax));
    return scale;
  };
  Matrix<float> source = f32(1, 16,
                             {3.7f, -1.0f, 0.5f, 2.0f, 0.1f, -3.0f, 1.5f, 0.7f,  //
                              1.0f, -0.2f, 0.3f, 2.5f, 0.9f, -2.2f, 3.3f, 0.0f});

  const octavo_grid integer = int8(1, 16, whole);
  Matrix<std::int8_t> integers(OCTAVO_I8, 1, 16);
  nearest(integer, source.view(), integers.view(), {}, absmax);
  Matrix<float> scale = stored_scale(integer, 0);
  BOOST_CHECK_EQUAL(scale.data[0], 3.7f / 127.0f);
  std::vector<float> back = dequantize(integer, integers.view(), {scale.view()});
  for (std::size_t i = 0; i < 16; ++i)
    BOOST_CHECK_LE(std::fabs(back[i] - source.data[i]), 0.50001f * scale.data[0]);

  octavo_grid e4m3 = code_grid(OCTAVO_CODE_E4M3, OCTAVO_F8_E4M3, 1, 16);
  e4m3.scales[0] = whole;
  e4m3.qmin = e4m3.qmax = 0;  // they say nothing about a float code
  Matrix<std::uint8_t> codes(OCTAVO_F8_E4M3, 1, 16);
  nearest(e4m3, source.view(), codes.view(), {}, absmax);
  scale = stored_scale(e4m3, 0);
  BOOST_CHECK_EQUAL(scale.data[0], 3.7f / 448.0f);
  BOOST_CHECK_EQUAL(codes.data[0], 0x7e);  // 448
  back = dequantize(e4m3, codes.view(), {scale.view()});
  for (std::size_t i = 0; i < 16; ++i)  // three bits of mantissa: 1/16 of the value
    BOOST_CHECK_LE(std::fabs(back[i] - source.data[i]), std::fabs(source.data[i]) / 16.0f + 1e-4f);

  octavo_grid nvfp4 = code_grid(OCTAVO_CODE_E2M1, OCTAVO_U8, 1, 16);
  nvfp4.scale_levels = 2;
  nvfp4.scales[0] = {OCTAVO_PER_GROUP, OCTAVO_SCALE_ABSMAX, OCTAVO_F8_E4M3, 0.0f, 0, 16};
  nvfp4.scales[1] = {OCTAVO_PER_TENSOR, OCTAVO_SCALE_ABSMAX, OCTAVO_F32, 0.0f, 0, 0};
  nvfp4.qmin = nvfp4.qmax = 0;
  Matrix<std::uint8_t> nibbles(OCTAVO_U8, 1, 16), inner(OCTAVO_F8_E4M3, 1, 1);
  nearest(nvfp4, source.view(), nibbles.view(), {inner.view()}, absmax);
  scale = stored_scale(nvfp4, 1);
  BOOST_CHECK_EQUAL(scale.data[0], 3.7f / (6.0f * 448.0f));
  BOOST_CHECK_EQUAL(inner.data[0], 0x7e);  // the one group has the largest scale, 448
  back = dequantize(nvfp4, nibbles.view(), {inner.view(), scale.view()});
  BOOST_CHECK_CLOSE(back[0], absmax, 1e-4f);  // code 6
}

// Stored as the level says: two bytes of BF16, an exponent of E8M0.
BOOST_AUTO_TEST_CASE(one_scale_for_a_layer_in_its_dtype) {
  octavo_grid grid = int8(1, 4, scale_level(OCTAVO_PER_TENSOR));
  grid.scales[0].dtype = OCTAVO_BF16;
  std::uint16_t half[2] = {0, 0xabcd};
  reference::store_layer_scale(grid, 0, 127.0f * 1.007f, half);
  BOOST_CHECK_EQUAL(from_bf16(half[0]), 1.0078125f);  // the nearer of 1 and 1 + 2^-7
  BOOST_CHECK_EQUAL(half[1], 0xabcd);
  grid.scales[0].dtype = OCTAVO_F8_E8M0;
  grid.scales[0].rule = OCTAVO_SCALE_ABSMAX_POW2;
  std::uint8_t exponent = 0;
  reference::store_layer_scale(grid, 0, 127.0f * 3.0f, &exponent);
  BOOST_CHECK_EQUAL(exponent, 127 + 2);
  grid.scales[0].dtype = OCTAVO_F64;
  BOOST_CHECK_THROW(reference::store_layer_scale(grid, 0, 1.0f, half), PluginError);
}

// MXFP8: the exponent is ceil(log2(absmax / 448)), stored with a bias of 127.
BOOST_AUTO_TEST_CASE(scales_that_are_powers_of_two) {
  octavo_grid grid = code_grid(OCTAVO_CODE_E4M3, OCTAVO_F8_E4M3, 1, 16);
  grid.scales[0] = {OCTAVO_PER_GROUP, OCTAVO_SCALE_ABSMAX_POW2, OCTAVO_F8_E8M0, 0.0f, 0, 4};
  Matrix<float> source = f32(1, 16,
                             {448.0f, 1.0f, 0.0f, 0.0f,  //
                              449.0f, 2.0f, 0.0f, 0.0f,  //
                              3.5f, 0.0f, 0.0f, 0.0f,    //
                              0.0f, 0.0f, 0.0f, 0.0f});
  Matrix<std::uint8_t> codes(OCTAVO_F8_E4M3, 1, 16), scales(OCTAVO_F8_E8M0, 1, 4);
  nearest(grid, source.view(), codes.view(), {scales.view()});
  check_equal<std::uint8_t>(scales.data, {127, 128, 120, 0});
  const std::vector<float> back = dequantize(grid, codes.view(), {scales.view()});
  BOOST_CHECK_EQUAL(back[0], 448.0f);
  BOOST_CHECK_EQUAL(back[4], 448.0f);  // 224.5 x 2, rounded to steps of 16
  BOOST_CHECK_EQUAL(back[8], 3.5f);
}

// -1 to 3 on codes 0 to 15: scale 4 / 15, zero point rint(3.75) = 4.
BOOST_AUTO_TEST_CASE(zero_points) {
  octavo_grid grid = code_grid(OCTAVO_CODE_INTEGER_ZERO, OCTAVO_U8, 2, 3);
  grid.qmin = 0;
  grid.qmax = 15;
  grid.scales[0].rule = OCTAVO_SCALE_RANGE;
  grid.zero_point_dtype = OCTAVO_U8;
  Matrix<float> source = f32(2, 3, {-1.0f, 0.0f, 3.0f, 2.0f, 4.0f, 30.0f}), scales(OCTAVO_F32, 2, 1);
  Matrix<std::uint8_t> codes(OCTAVO_U8, 2, 3), zeros(OCTAVO_U8, 2, 1);
  nearest(grid, source.view(), codes.view(), {scales.view()}, 0.0f, 0, zeros.view());
  check_equal(scales.data, {4.0f / 15.0f, 2.0f});  // all positive: the range starts at 0
  check_equal<std::uint8_t>(zeros.data, {4, 0});
  check_equal<std::uint8_t>(codes.data, {0, 4, 15, 1, 2, 15});
  const std::vector<float> back = dequantize(grid, codes.view(), {scales.view()}, zeros.view());
  BOOST_CHECK_EQUAL(back[1], 0.0f);
  BOOST_CHECK_CLOSE(back[2], 11.0f * 4.0f / 15.0f, 1e-4f);
}

BOOST_AUTO_TEST_CASE(four_bit_integers_and_sixteen_bit_scales) {
  octavo_grid grid = code_grid(OCTAVO_CODE_INTEGER, OCTAVO_I8, 1, 4);
  grid.qmin = -7;
  grid.qmax = 7;
  grid.scales[0].dtype = OCTAVO_BF16;
  Matrix<float> source = f32(1, 4, {7.05f, -7.05f, 1.0f, 0.0f});
  Matrix<std::int8_t> codes(OCTAVO_I8, 1, 4);
  Matrix<std::uint16_t> scales(OCTAVO_BF16, 1, 1);
  nearest(grid, source.view(), codes.view(), {scales.view()});
  BOOST_CHECK_EQUAL(from_bf16(scales.data[0]),
                    1.0078125f);  // 7.05 / 7 = 1.00714, the nearer of 1 and 1 + 2^-7
  check_equal<std::int8_t>(codes.data, {7, -7, 1, 0});
}

BOOST_AUTO_TEST_CASE(dequantized_and_brought_back) {
  const octavo_grid grid = rotated(1, 4, 4);
  Matrix<std::int8_t> codes(OCTAVO_I8, 1, 4, {1, 2, 3, -4});
  Matrix<float> scales = f32(1, 1, {0.5f});
  check_equal(dequantize(grid, codes.view(), {scales.view()}), {0.5f, 1.0f, 1.5f, -2.0f});
  // (0.5 + 1 + 1.5 + 2, 0.5 + 1 - 1.5 - 2, 0.5 - 1 + 1.5 - 2, -0.5 + 1 + 1.5 - 2) / 2
  check_equal(dequantize(grid, codes.view(), {scales.view()}, {}, true), {2.5f, -1.0f, -0.5f, 0.0f});
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace octavo::test
