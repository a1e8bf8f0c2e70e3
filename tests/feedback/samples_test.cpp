#include "feedback/samples.hpp"

#include "problem.hpp"

#include <octavo/incoherent.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <limits>

namespace octavo::test {
namespace {

BOOST_AUTO_TEST_SUITE(samples)

BOOST_AUTO_TEST_CASE(every_fourth_row_is_held_out) {
  ReferenceLane host;
  Values rows(20, 3);
  for (std::int64_t r = 0; r < 20; ++r) rows.at(r, 1) = static_cast<float>(r);
  const octavo_grid grid = int8_grid(layer_of(4, 3), scale_level(OCTAVO_PER_ROW));
  const feedback::Samples samples(host.lane, inputs_of(rows), grid);
  BOOST_TEST(samples.refusal() == "");
  BOOST_TEST(samples.fitting().shape[0] == 15);
  BOOST_TEST(samples.held_out().shape[0] == 5);
  for (std::int64_t i = 0; i < 5; ++i)
    BOOST_TEST(row_of<float>(samples.held_out(), i)[1] == static_cast<float>(4 * i + 3));
  std::vector<float> fitting;
  for (std::int64_t i = 0; i < 15; ++i) fitting.push_back(row_of<float>(samples.fitting(), i)[1]);
  std::sort(fitting.begin(), fitting.end());
  const std::vector<float> expected = {0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 16, 17, 18};
  BOOST_TEST(fitting == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(bf16_rows_are_read_too) {
  ReferenceLane host;
  std::vector<std::uint16_t> bits(16 * 2, to_bf16(1.5f));
  octavo_inputs inputs{};
  inputs.samples = tensor_view(bits.data(), OCTAVO_BF16, {16, 2});
  const feedback::Samples samples(host.lane, inputs, int8_grid(layer_of(4, 2), scale_level(OCTAVO_PER_ROW)));
  BOOST_TEST(row_of<float>(samples.fitting(), 2)[1] == 1.5f);
}

BOOST_AUTO_TEST_CASE(rows_go_to_the_basis_of_the_grid) {
  ReferenceLane host;
  Values rows = gaussian(1, 16, 16);
  octavo_grid grid = int8_grid(layer_of(8, 16), scale_level(OCTAVO_PER_ROW));
  grid.basis = OCTAVO_BASIS_CONVROT;
  grid.basis_group = 16;
  const feedback::Samples samples(host.lane, inputs_of(rows), grid);
  // The first column of the regular Hadamard matrix of 16: the sign of (i, 0) is negative where a base-4
  // digit is 3.
  double expected = 0;
  for (std::int64_t c = 0; c < 16; ++c)
    expected += ((c % 4 == 3) != (c / 4 == 3) ? -0.25 : 0.25) * rows.at(0, c);
  BOOST_TEST(row_of<float>(samples.fitting(), 0)[0] == expected, boost::test_tools::tolerance(1e-4));
}

BOOST_AUTO_TEST_CASE(an_output_does_not_change_in_the_incoherent_basis) {
  ReferenceLane host;
  constexpr std::int64_t kRows = 5, kCols = 6;
  Values rows = gaussian(1, 16, kCols), weight = gaussian(2, kRows, kCols), rotated(8, 8);
  octavo_grid grid = int8_grid(layer_of(kRows, kCols), scale_level(OCTAVO_PER_ROW));
  grid.basis = OCTAVO_BASIS_INCOHERENT;
  grid.basis_seed = 7;
  grid.rows = grid.cols = 8;
  const feedback::Samples samples(host.lane, inputs_of(rows), grid);
  const octavo_tensor source = weight.view();
  octavo_tensor target = rotated.view();
  issue(host.lane, &octavo_operations::to_basis, static_cast<const octavo_grid*>(&grid), &source, &target);
  // ||W x||^2 is the same in both bases, because the rotation of the rows is orthogonal.
  for (std::int64_t s = 0; s < 3; ++s) {
    double plain = 0, turned = 0;
    for (std::int64_t r = 0; r < 8; ++r) {
      double sum = 0, sum_turned = 0;
      for (std::int64_t c = 0; c < kCols && r < kRows; ++c)
        sum += double{weight.at(r, c)} * rows.at(4 * s, c);
      for (std::int64_t c = 0; c < 8; ++c)
        sum_turned += double{rotated.at(r, c)} * row_of<float>(samples.fitting(), s)[c];
      plain += sum * sum;
      turned += sum_turned * sum_turned;
    }
    BOOST_TEST(turned == plain, boost::test_tools::tolerance(1e-4));
  }
}

BOOST_AUTO_TEST_CASE(what_is_of_no_use_is_refused_with_the_reason) {
  ReferenceLane host;
  const octavo_grid grid = int8_grid(layer_of(4, 3), scale_level(OCTAVO_PER_ROW));
  Values few(15, 3);
  BOOST_TEST(feedback::Samples(host.lane, inputs_of(few), grid).refusal() ==
             "fewer than 16 samples of its inputs are known");
  Values wrong = gaussian(1, 20, 3);
  wrong.at(17, 2) = std::numeric_limits<float>::quiet_NaN();
  BOOST_TEST(feedback::Samples(host.lane, inputs_of(wrong), grid).refusal() ==
             "sample 17 of its inputs is not finite");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::test
