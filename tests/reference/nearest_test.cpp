// Nearest on INT8 grids: scales and codes by hand and in long double, blocks, what is counted, absmax.
#include "calls.hpp"

#include <cmath>
#include <limits>
#include <random>

namespace octavo::test {

BOOST_AUTO_TEST_SUITE(nearest_int8)

BOOST_AUTO_TEST_CASE(rows_by_hand) {
  // Row 0: scale 1, ties to even. Row 1: zeros. Row 2: scale 2.
  Matrix<float> source = f32(3, 8, {127.0f,  0.5f,  1.5f, 2.5f, -0.5f, -1.5f,  -2.5f, 126.5f,  //
                                    0.0f,    -0.0f, 0.0f, 0.0f, 0.0f,  0.0f,   0.0f,  0.0f,    //
                                    -254.0f, 1.0f,  3.0f, 2.9f, 3.1f,  253.0f, 5.0f,  -5.0f});
  Matrix<std::int8_t> codes(OCTAVO_I8, 3, 8);
  Matrix<float> scales(OCTAVO_F32, 3, 1);
  const octavo_tile_result result =
      nearest(int8(3, 8, scale_level(OCTAVO_PER_ROW)), source.view(), codes.view(), {scales.view()});
  check_equal(scales.data, {1.0f, 1e-30f, 2.0f});
  check_equal<std::int8_t>(codes.data, {127,  0, 2, 2, 0, -2,  -2, 126,  //
                                        0,    0, 0, 0, 0, 0,   0,  0,    //
                                        -127, 0, 2, 1, 2, 126, 2,  -2});
  BOOST_CHECK_EQUAL(result.max_error, 1.0f);
  // Row 0: seven halves squared. Row 2: 1, 1, .9, .9, 1, 1, 1.
  BOOST_CHECK_CLOSE(result.error_sum, 7 * 0.25 + 5 * 1.0 + 2 * 0.81, 1e-4);
  BOOST_CHECK_EQUAL(result.nonfinite_count, 0);
  BOOST_CHECK_EQUAL(result.nonfinite_first, -1);
  BOOST_CHECK_EQUAL(result.floored_rows, 0);
}

BOOST_AUTO_TEST_CASE(scales_and_codes_in_long_double) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  const std::int64_t rows = 40, cols = 301;
  Matrix<float> source(OCTAVO_F32, rows, cols);
  for (float& value : source.data) value = normal(random);
  Matrix<std::int8_t> codes(OCTAVO_I8, rows, cols);
  Matrix<float> scales(OCTAVO_F32, rows, 1);
  const octavo_tile_result result =
      nearest(int8(rows, cols, scale_level(OCTAVO_PER_ROW)), source.view(), codes.view(), {scales.view()});
  long double error_sum = 0, signal_sum = 0;
  for (std::int64_t r = 0; r < rows; ++r) {
    float absmax = 0;
    for (std::int64_t c = 0; c < cols; ++c)
      absmax = std::max(absmax, std::fabs(source.data[static_cast<std::size_t>(r * cols + c)]));
    const float scale = scales.data[static_cast<std::size_t>(r)];
    BOOST_REQUIRE_EQUAL(
        scale, static_cast<float>(static_cast<double>(absmax) / 127.0));  // one rounding of the quotient
    for (std::int64_t c = 0; c < cols; ++c) {
      const std::size_t i = static_cast<std::size_t>(r * cols + c);
      const long double exact = static_cast<long double>(source.data[i]) / scale;
      // Half a step, and what rounding the quotient to f32 may move it by.
      BOOST_REQUIRE_LE(std::fabs(exact - codes.data[i]), 0.5L + 127 * 0x1p-24L);
      const long double error = static_cast<long double>(codes.data[i]) * scale - source.data[i];
      error_sum += error * error;
      signal_sum += static_cast<long double>(source.data[i]) * source.data[i];
    }
  }
  BOOST_CHECK_CLOSE(result.error_sum, static_cast<double>(error_sum), 1e-6);
  BOOST_CHECK_CLOSE(result.signal_sum, static_cast<double>(signal_sum), 1e-6);
}

// A Gaussian row of 3,072 has 41.4 dB: 10 log10(12 x 127^2 / c^2), c = 3.73 being its mean absmax in sigmas.
BOOST_AUTO_TEST_CASE(gaussian_rows_have_41_dB) {
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  Matrix<float> source(OCTAVO_F32, 64, 3072);
  for (float& value : source.data) value = normal(random);
  Matrix<std::int8_t> codes(OCTAVO_I8, 64, 3072);
  Matrix<float> scales(OCTAVO_F32, 64, 1);
  const octavo_tile_result result =
      nearest(int8(64, 3072, scale_level(OCTAVO_PER_ROW)), source.view(), codes.view(), {scales.view()});
  BOOST_CHECK_CLOSE(10.0 * std::log10(result.signal_sum / result.error_sum), 41.4, 1.0);
}

// A constant row is one large coefficient in each group of 16: 4 x 3 / 127 is its scale.
BOOST_AUTO_TEST_CASE(rotated_row_by_hand) {
  Matrix<float> source(OCTAVO_F32, 1, 16, std::vector<float>(16, 3.0f));
  Matrix<std::int8_t> codes(OCTAVO_I8, 1, 16);
  Matrix<float> scales(OCTAVO_F32, 1, 1);
  nearest(rotated(1, 16, 16), source.view(), codes.view(), {scales.view()});
  BOOST_CHECK_EQUAL(scales.data[0], 3.0f / 127.0f);  // a regular matrix: every row sums to 4 / 4
  check_equal<std::int8_t>(codes.data, std::vector<std::int8_t>(16, 127));
}

BOOST_AUTO_TEST_CASE(blocks_groups_and_tensor) {
  Matrix<float> source = f32(3, 3,
                             {127.0f, 1.0f, 254.0f,  //
                              -2.0f, 3.0f, 4.0f,     //
                              12.7f, -0.1f, 0.0f});
  Matrix<std::int8_t> codes(OCTAVO_I8, 3, 3);
  Matrix<float> blocks(OCTAVO_F32, 2, 2);
  nearest(int8(3, 3, scale_level(OCTAVO_PER_BLOCK, 2, 2)), source.view(), codes.view(), {blocks.view()});
  check_equal(blocks.data, {1.0f, 2.0f, 12.7f / 127.0f, 1e-30f});
  check_equal<std::int8_t>(codes.data, {127, 1, 127, -2, 3, 2, 127, -1, 0});
  Matrix<float> groups(OCTAVO_F32, 3, 2);
  nearest(int8(3, 3, scale_level(OCTAVO_PER_GROUP, 0, 2)), source.view(), codes.view(), {groups.view()});
  check_equal(groups.data, {1.0f, 2.0f, 3.0f / 127.0f, 4.0f / 127.0f, 12.7f / 127.0f, 1e-30f});
  check_equal<std::int8_t>(codes.data, {127, 1, 127, -85, 127, 127, 127, -1, 0});
  nearest(int8(3, 3, scale_level(OCTAVO_PER_TENSOR)), source.view(), codes.view(), {}, 254.0f);
  check_equal<std::int8_t>(codes.data, {64, 0, 127, -1, 2, 2, 6, 0, 0});
  nearest(int8(3, 3, scale_level(OCTAVO_PER_TENSOR)), source.view(), codes.view(), {}, 127.0f);
  check_equal<std::int8_t>(codes.data, {127, 1, 127, -2, 3, 4, 13, 0, 0});  // clamped
}

BOOST_AUTO_TEST_CASE(floored_rows_are_counted) {
  Matrix<float> source = f32(3, 2, {1e-29f, 0.0f, 0.0f, 0.0f, 2e-28f, 1e-28f});
  Matrix<std::int8_t> codes(OCTAVO_I8, 3, 2);
  Matrix<float> scales(OCTAVO_F32, 3, 1);
  const octavo_tile_result result =
      nearest(int8(3, 2, scale_level(OCTAVO_PER_ROW)), source.view(), codes.view(), {scales.view()});
  BOOST_CHECK_EQUAL(result.floored_rows, 1);
  check_equal(scales.data, {1e-30f, 1e-30f, 2e-28f / 127.0f});
  BOOST_CHECK_EQUAL(codes.data[0], 10);
}

BOOST_AUTO_TEST_CASE(what_is_not_finite_counts_as_zero_and_is_named) {
  const float nan = std::nanf("");
  Matrix<float> source = f32(2, 4, {1.0f, 2.0f, 3.0f, 4.0f, 127.0f, nan, -INFINITY, 1.0f});
  Matrix<std::int8_t> codes(OCTAVO_I8, 2, 4);
  Matrix<float> scales(OCTAVO_F32, 2, 1);
  const octavo_tile_result result =
      nearest(int8(2, 4, scale_level(OCTAVO_PER_ROW)), source.view(), codes.view(), {scales.view()});
  BOOST_CHECK_EQUAL(result.nonfinite_count, 2);
  BOOST_CHECK_EQUAL(result.nonfinite_first, 5);
  BOOST_CHECK_EQUAL(scales.data[1], 1.0f);
  check_equal<std::int8_t>({codes.data.begin() + 4, codes.data.end()}, {127, 0, 0, 1});
}

BOOST_AUTO_TEST_CASE(rotated_values_from_2_to_118_count_as_not_finite) {
  Matrix<float> source(OCTAVO_F32, 1, 16, std::vector<float>(16, 1.0f));
  source.data[3] = 0x1p118f;
  source.data[9] = -0x1.fffffep117f;
  Matrix<std::int8_t> codes(OCTAVO_I8, 1, 16);
  Matrix<float> scales(OCTAVO_F32, 1, 1);
  const octavo_tile_result result = nearest(rotated(1, 16, 16), source.view(), codes.view(), {scales.view()});
  BOOST_CHECK_EQUAL(result.nonfinite_count, 1);
  BOOST_CHECK_EQUAL(result.nonfinite_first, 3);
  const octavo_tile_result plain =
      nearest(int8(1, 16, scale_level(OCTAVO_PER_ROW)), source.view(), codes.view(), {scales.view()});
  BOOST_CHECK_EQUAL(plain.nonfinite_count, 0);
}

BOOST_AUTO_TEST_CASE(row_metrics_and_bias_delta) {
  Matrix<float> source = f32(2, 2, {127.0f, 0.25f, 127.0f, 0.5f}), scales(OCTAVO_F32, 2, 1);
  Matrix<std::int8_t> codes(OCTAVO_I8, 2, 2);
  std::vector<float> bias(2, 9.0f);
  std::vector<double> metric(2, -1.0), nearest_metric(2, -1.0);
  const octavo_grid grid = int8(2, 2, scale_level(OCTAVO_PER_ROW));
  octavo_tile tile{};
  tile.grid = &grid;
  tile.source = source.view();
  tile.codes = codes.view();
  tile.scales[0] = scales.view();
  tile.bias_delta = tensor_view(bias.data(), OCTAVO_F32, {2});
  octavo_tile_result result{};
  result.row_metric = metric.data();
  result.row_nearest_metric = nearest_metric.data();
  require([&](const octavo_operations& op, octavo_error* e) {
    return op.quantize_nearest(nullptr, &tile, &result, e);
  });
  check_equal(metric, {0.0625, 0.25});
  check_equal(nearest_metric, {0.0625, 0.25});
  check_equal(bias, {0.0f, 0.0f});
}

BOOST_AUTO_TEST_CASE(absmax_of_a_layer) {
  Matrix<float> source = f32(2, 4, {1.0f, -5.0f, 3.0f, 0.0f, INFINITY, 2.0f, 70000.0f, 0.0f});
  const octavo_tensor view = source.view();
  octavo_absmax_result result{};
  octavo_layer layer{};
  layer.rows = 2;
  layer.cols = 4;
  const octavo_grid cast = cast_grid(layer, OCTAVO_F16);
  require([&](const octavo_operations& op, octavo_error* e) {
    return op.absmax(nullptr, &cast, &view, 0, &result, e);
  });
  BOOST_CHECK_EQUAL(result.absmax, 70000.0f);
  BOOST_CHECK_EQUAL(result.nonfinite_count, 1);
  BOOST_CHECK_EQUAL(result.nonfinite_first, 4);
  BOOST_CHECK_EQUAL(result.overflow_count, 1);
  const octavo_grid rotation = rotated(2, 4, 4);  // (0, 2, 70000, 0) / 2: 35001
  require([&](const octavo_operations& op, octavo_error* e) {
    return op.absmax(nullptr, &rotation, &view, 0, &result, e);
  });
  BOOST_CHECK_EQUAL(result.absmax, 35001.0f);
}

BOOST_AUTO_TEST_CASE(refusals_say_what_is_wrong) {
  Matrix<float> source(OCTAVO_F32, 1, 4), scales(OCTAVO_F32, 1, 1);
  Matrix<std::int8_t> codes(OCTAVO_I8, 1, 4);
  const auto answer = [&](octavo_grid grid, octavo_tensor from) {
    octavo_tile tile{};
    tile.grid = &grid;
    tile.source = from;
    tile.codes = codes.view();
    tile.scales[0] = scales.view();
    octavo_tile_result result{};
    return ask([&](const octavo_operations& op, octavo_error* e) {
      return op.quantize_nearest(nullptr, &tile, &result, e);
    });
  };
  octavo_grid grid = int8(1, 4, scale_level(OCTAVO_PER_ROW));
  BOOST_CHECK_EQUAL(answer(grid, source.view()).status, OCTAVO_OK);
  BOOST_CHECK_EQUAL(answer(grid, codes.view()).status, OCTAVO_UNSUPPORTED);
  octavo_grid codebook = grid;
  codebook.code = OCTAVO_CODE_CODEBOOK;
  const Answer refused = answer(codebook, source.view());
  BOOST_CHECK_EQUAL(refused.status, OCTAVO_UNSUPPORTED);
  BOOST_CHECK(std::string(refused.error.message).find("codebook") != std::string::npos);
  octavo_grid wide = rotated(1, 4, 1024);
  wide.cols = 4;
  BOOST_CHECK_NE(answer(wide, source.view()).status, OCTAVO_OK);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace octavo::test
