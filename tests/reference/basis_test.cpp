// ConvRot: the entries of the matrix by the digit formula, H H = 1, and the order of the stages.
#include "calls.hpp"

#include <cmath>
#include <random>

namespace octavo::test {
namespace {

// sign(r, c): the product over pairs of base-4 digits of -1 where they add up to 3, else +1.
int hadamard_sign(int row, int col) {
  int sign = 1;
  for (; row > 0 || col > 0; row /= 4, col /= 4) {
    if (row % 4 + col % 4 == 3) sign = -sign;
  }
  return sign;
}

// One pair of digits is always there: (0, 0) adds up to 0, but for the group of 4 the digits are the indices.
int hadamard_entry(int row, int col, int size) {
  int sign = 1;
  for (int digits = 1; digits < size; digits *= 4) {
    if (row / digits % 4 + col / digits % 4 == 3) sign = -sign;
  }
  return sign;
}

Matrix<float> rotate(Matrix<float> source, std::int64_t group, bool back) {
  const octavo_grid grid = rotated(source.rows, source.cols, group);
  Matrix<float> target(OCTAVO_F32, source.rows, source.cols);
  const octavo_tensor from = source.view();
  octavo_tensor to = target.view();
  require([&](const octavo_operations& op, octavo_error* e) {
    return back ? op.from_basis(nullptr, &grid, &from, &to, e) : op.to_basis(nullptr, &grid, &from, &to, e);
  });
  return target;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(basis)

BOOST_AUTO_TEST_CASE(entries_follow_the_digit_formula) {
  for (const int size : {4, 16, 64, 256, 1024}) {
    Matrix<float> identity(OCTAVO_F32, size, size);
    for (int i = 0; i < size; ++i)
      identity.data[static_cast<std::size_t>(i) * static_cast<std::size_t>(size + 1)] = 1.0f;
    const Matrix<float> found = rotate(identity, size, false);
    const float magnitude = 1.0f / std::sqrt(static_cast<float>(size));
    for (int r = 0; r < size; ++r) {
      for (int c = 0; c < size; ++c) {
        BOOST_REQUIRE_EQUAL(found.data[static_cast<std::size_t>(r * size + c)],
                            static_cast<float>(hadamard_entry(r, c, size)) * magnitude);
        BOOST_REQUIRE_EQUAL(hadamard_entry(r, c, size), hadamard_sign(r, c));
      }
    }
  }
}

// H4 = [+ + + -; + + - +; + - + +; - + + +] on [1, 2, 3, 4]: (1+2+3-4, 1+2-3+4, 1-2+3+4, -1+2+3+4) / 2.
BOOST_AUTO_TEST_CASE(four_by_hand) {
  check_equal(rotate(f32(1, 4, {1, 2, 3, 4}), 4, false).data, {1.0f, 2.0f, 3.0f, 4.0f});
  check_equal(rotate(f32(1, 4, {8, 0, 0, 2}), 4, false).data, {3.0f, 5.0f, 5.0f, -3.0f});
}

BOOST_AUTO_TEST_CASE(its_own_inverse) {
  std::mt19937 random(3);
  std::uniform_int_distribution<int> whole(-1000, 1000);
  for (const std::int64_t size : {4, 16, 64, 256}) {
    Matrix<float> source(OCTAVO_F32, 3, 2 * size);
    for (float& value : source.data) value = static_cast<float>(whole(random));  // sums stay exact
    check_equal(rotate(rotate(source, size, false), size, true).data, source.data);
  }
}

// In f32, (a + b) + (c + d) of 2^24, 1, 1, 1 is 2^24 + 2: a, b and c, d are added first (2^24 + 1 rounds to
// 2^24). Other orders give 2^24 or 2^24 + 3.
BOOST_AUTO_TEST_CASE(order_of_the_additions) {
  const Matrix<float> found = rotate(f32(1, 4, {0x1p24f, 1, 1, 1}), 4, false);
  BOOST_CHECK_EQUAL(found.data[0], (0x1p24f + 2.0f - 2.0f) / 2.0f);
  BOOST_CHECK_EQUAL(found.data[3], (0x1p24f + 2.0f - 0x1p25f) / 2.0f);
}

// Stride 1 before stride 4: (2^24, 1, 0, 0) loses its 1, and so does 2^24 + 1 at stride 4, where 1 is what
// the second quadruple (0, 1, 0, 0) has become. Stride 4 first would make 1 + 1 = 2 of the ones, and 2^24
// + 2.
BOOST_AUTO_TEST_CASE(order_of_the_stages) {
  Matrix<float> source(OCTAVO_F32, 1, 16);
  source.data[0] = 0x1p24f;
  source.data[1] = source.data[5] = 1.0f;
  BOOST_CHECK_EQUAL(rotate(source, 16, false).data[0], 0x1p24f / 4.0f);
}

BOOST_AUTO_TEST_CASE(refusals) {
  Matrix<float> values(OCTAVO_F32, 1, 48);
  octavo_tensor view = values.view();
  const auto status = [&](octavo_grid grid) {
    return ask([&](const octavo_operations& op, octavo_error* e) {
             return op.to_basis(nullptr, &grid, &view, &view, e);
           })
        .status;
  };
  BOOST_CHECK_EQUAL(status(rotated(1, 48, 16)), OCTAVO_OK);
  BOOST_CHECK_EQUAL(status(rotated(1, 48, 64)), OCTAVO_BAD_ARGUMENT);
  BOOST_CHECK_EQUAL(status(rotated(1, 48, 8)), OCTAVO_BAD_ARGUMENT);
  octavo_grid incoherent = rotated(1, 48, 16);
  incoherent.basis = OCTAVO_BASIS_INCOHERENT;
  BOOST_CHECK_EQUAL(status(incoherent), OCTAVO_BAD_ARGUMENT);  // 48 is no power of two
  view.memory = OCTAVO_MEMORY_DEVICE;
  BOOST_CHECK_EQUAL(status(rotated(1, 48, 16)), OCTAVO_BAD_ARGUMENT);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace octavo::test
