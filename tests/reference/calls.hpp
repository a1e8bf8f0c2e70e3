// Calling reference operations on small matrices that are written out in a test.
#pragma once

#include "reference/operations.hpp"

#include <octavo/grid.hpp>
#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <boost/test/unit_test.hpp>

#include <cstdint>
#include <utility>
#include <vector>

namespace octavo::test {

// A packed matrix of T that knows its dtype.
template <typename T>
struct Matrix {
  std::uint32_t dtype;
  std::int64_t rows;
  std::int64_t cols;
  std::vector<T> data;

  Matrix(std::uint32_t type, std::int64_t r, std::int64_t c, std::vector<T> values)
      : dtype(type), rows(r), cols(c), data(std::move(values)) {
    BOOST_REQUIRE_EQUAL(static_cast<std::int64_t>(data.size()), rows * cols);
  }
  Matrix(std::uint32_t type, std::int64_t r, std::int64_t c)
      : dtype(type), rows(r), cols(c), data(static_cast<std::size_t>(r * c)) {}

  octavo_tensor view() { return tensor_view(data.data(), dtype, {rows, cols}); }
};

inline Matrix<float> f32(std::int64_t rows, std::int64_t cols, std::vector<float> values) {
  return {OCTAVO_F32, rows, cols, std::move(values)};
}

// Status and text of one call of the reference's table.
struct Answer {
  octavo_status status;
  octavo_error error;
};

template <typename Body>
Answer ask(Body body) {
  Answer answer{OCTAVO_OK, empty_error()};
  answer.status = body(reference::operations(), &answer.error);
  return answer;
}

template <typename Body>
void require(Body body) {
  const Answer answer = ask(body);
  BOOST_REQUIRE_MESSAGE(answer.status == OCTAVO_OK, answer.error.message);
}

// INT8 grid of `rows` x `cols` with one level of scales.
inline octavo_grid int8(std::int64_t rows, std::int64_t cols, octavo_scale_level level) {
  octavo_layer layer{};
  layer.rows = rows;
  layer.cols = cols;
  return int8_grid(layer, level);
}

inline octavo_grid rotated(std::int64_t rows, std::int64_t cols, std::int64_t group) {
  octavo_grid grid = int8(rows, cols, scale_level(OCTAVO_PER_ROW));
  grid.basis = OCTAVO_BASIS_CONVROT;
  grid.basis_group = group;
  return grid;
}

// quantize_nearest with views of the caller's.
inline octavo_tile_result nearest(const octavo_grid& grid, octavo_tensor source, octavo_tensor codes,
                                  std::vector<octavo_tensor> scales, float absmax = 0.0f,
                                  std::uint32_t flags = 0, octavo_tensor zero_points = {}) {
  octavo_tile tile{};
  tile.struct_size = sizeof tile;
  tile.flags = flags;
  tile.grid = &grid;
  tile.source = source;
  tile.codes = codes;
  for (std::size_t i = 0; i < scales.size(); ++i) tile.scales[i] = scales[i];
  tile.zero_points = zero_points;
  tile.absmax = absmax;
  octavo_tile_result result{};
  result.struct_size = sizeof result;
  require([&](const octavo_operations& op, octavo_error* e) {
    return op.quantize_nearest(nullptr, &tile, &result, e);
  });
  return result;
}

template <typename T>
void check_equal(const std::vector<T>& found, const std::vector<T>& expected) {
  BOOST_CHECK_EQUAL_COLLECTIONS(found.begin(), found.end(), expected.begin(), expected.end());
}

}  // namespace octavo::test
