#define BOOST_TEST_DYN_LINK
#include "plugin_under_test.hpp"

#include <boost/test/unit_test.hpp>

#include <string>

using namespace octavo::test;

namespace {

octavo_placement place(const FormatUnderTest& format, std::int64_t rows, std::int64_t cols) {
  const LayerOf layer("blocks.0.attn.qkv", "blocks.0.attn.qkv.weight", rows, cols);
  const Placed placed = format.grid(layer.raw);
  BOOST_TEST_REQUIRE(placed.status == OCTAVO_OK);
  return placed.placement;
}

// What every INT8 grid has in common.
void check_int8(const octavo_grid& grid, std::int64_t rows, std::int64_t cols) {
  BOOST_TEST(grid.code == static_cast<unsigned>(OCTAVO_CODE_INTEGER));
  BOOST_TEST(grid.stored_dtype == static_cast<unsigned>(OCTAVO_I8));
  BOOST_TEST(grid.qmin == -127);
  BOOST_TEST(grid.qmax == 127);
  BOOST_TEST(grid.scale_levels == 1u);
  BOOST_TEST(grid.scales[0].dtype == static_cast<unsigned>(OCTAVO_F32));
  BOOST_TEST(grid.scales[0].rule == static_cast<unsigned>(OCTAVO_SCALE_ABSMAX));
  BOOST_TEST(grid.scales[0].floor == 1e-30f);
  BOOST_TEST(grid.rows == rows);
  BOOST_TEST(grid.cols == cols);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(grid)

BOOST_AUTO_TEST_CASE(descriptors_name_the_plugins) {
  BOOST_TEST(std::string(tensorwise().plugin().id) == "int8_tensorwise");
  BOOST_TEST(std::string(convrot().plugin().id) == "int8_convrot");
  BOOST_TEST(std::string(blockwise().plugin().id) == "int8_blockwise");
  BOOST_TEST(std::string(axiswise().plugin().id) == "int8_axiswise");
  BOOST_TEST(std::string(fp16().plugin().id) == "fp16");
  const auto check = [](const octavo_plugin& plugin) {
    BOOST_TEST(plugin.kind == static_cast<unsigned>(OCTAVO_KIND_FORMAT));
    BOOST_TEST(plugin.abi_major == OCTAVO_ABI_MAJOR);
    BOOST_TEST(!std::string(plugin.version).empty());
  };
  check(tensorwise().plugin());
  check(convrot().plugin());
  check(fp16().plugin());
}

BOOST_AUTO_TEST_CASE(tensorwise_has_a_scale_for_each_row_or_one) {
  const octavo_placement rows = place(tensorwise(), 640, 3072);
  check_int8(rows.grid, 640, 3072);
  BOOST_TEST(rows.grid.scales[0].granularity == static_cast<unsigned>(OCTAVO_PER_ROW));
  BOOST_TEST(rows.grid.basis == static_cast<unsigned>(OCTAVO_BASIS_PLAIN));
  BOOST_TEST(rows.grid.row_multiple == 1);
  BOOST_TEST(rows.fallback == 0u);
  BOOST_TEST(std::string(rows.stored_as) == "int8_tensorwise");

  const octavo_placement tensor = place(tensorwise({{"scale", "tensor"}}), 3, 5);
  check_int8(tensor.grid, 3, 5);
  BOOST_TEST(tensor.grid.scales[0].granularity == static_cast<unsigned>(OCTAVO_PER_TENSOR));
}

BOOST_AUTO_TEST_CASE(convrot_takes_the_largest_group_that_divides_the_columns) {
  struct Case {
    std::int64_t cols;
    std::int64_t group;  // 0: plain rows
  };
  for (const Case& c : {Case{8, 0}, Case{32, 16}, Case{96, 16}, Case{255, 0}, Case{256, 256}, Case{320, 64},
                        Case{384, 64}, Case{3072, 256}, Case{16, 16}, Case{1, 0}}) {
    BOOST_TEST_CONTEXT(c.cols << " columns") {
      const octavo_placement placement = place(convrot(), 48, c.cols);
      check_int8(placement.grid, 48, c.cols);
      BOOST_TEST(placement.grid.scales[0].granularity == static_cast<unsigned>(OCTAVO_PER_ROW));
      BOOST_TEST(placement.grid.basis ==
                 static_cast<unsigned>(c.group == 0 ? OCTAVO_BASIS_PLAIN : OCTAVO_BASIS_CONVROT));
      BOOST_TEST(placement.grid.basis_group == c.group);
      BOOST_TEST(placement.fallback == (c.group == 0 ? 1u : 0u));
      BOOST_TEST(std::string(placement.note).empty() == (c.group == 256));
    }
  }
  BOOST_TEST(std::string(place(convrot(), 48, 255).note) == "16 does not divide 255 columns: plain rows");
}

BOOST_AUTO_TEST_CASE(convrot_of_one_group_falls_back_to_rows) {
  const octavo_placement misfit = place(convrot({{"group", "256"}}), 64, 384);
  BOOST_TEST(misfit.grid.basis == static_cast<unsigned>(OCTAVO_BASIS_PLAIN));
  BOOST_TEST(misfit.fallback == 1u);
  BOOST_TEST(std::string(misfit.note) == "256 does not divide 384 columns: plain rows");

  const octavo_placement smaller = place(convrot({{"group", "64"}}), 64, 256);
  BOOST_TEST(smaller.grid.basis_group == 64);
  BOOST_TEST(smaller.fallback == 0u);
}

BOOST_AUTO_TEST_CASE(blocks_that_do_not_fit_become_rows) {
  const octavo_placement fits = place(blockwise(), 256, 384);
  check_int8(fits.grid, 256, 384);
  BOOST_TEST(fits.grid.scales[0].granularity == static_cast<unsigned>(OCTAVO_PER_BLOCK));
  BOOST_TEST(fits.grid.scales[0].block_rows == 128);
  BOOST_TEST(fits.grid.scales[0].block_cols == 128);
  BOOST_TEST(fits.grid.row_multiple == 128);
  BOOST_TEST(std::string(fits.stored_as) == "int8_blockwise");

  const octavo_placement cols = place(blockwise(), 256, 130);
  BOOST_TEST(cols.grid.scales[0].granularity == static_cast<unsigned>(OCTAVO_PER_ROW));
  BOOST_TEST(cols.grid.row_multiple == 1);
  BOOST_TEST(cols.fallback == 1u);
  BOOST_TEST(std::string(cols.note) == "128 does not divide 130 columns");
  BOOST_TEST(std::string(cols.stored_as) == "int8_tensorwise");
  BOOST_TEST(std::string(place(blockwise(), 100, 256).note) == "128 does not divide 100 rows");
  BOOST_TEST(place(blockwise({{"block_size", "64"}}), 64, 192).grid.scales[0].block_cols == 64);
}

BOOST_AUTO_TEST_CASE(axiswise_is_rows_under_another_name) {
  const octavo_placement placement = place(axiswise(), 5, 7);
  check_int8(placement.grid, 5, 7);
  BOOST_TEST(placement.grid.scales[0].granularity == static_cast<unsigned>(OCTAVO_PER_ROW));
  BOOST_TEST(std::string(placement.stored_as) == "int8_axiswise");
}

BOOST_AUTO_TEST_CASE(fp16_is_a_cast) {
  const octavo_placement placement = place(fp16(), 5, 7);
  BOOST_TEST(placement.grid.code == static_cast<unsigned>(OCTAVO_CODE_CAST));
  BOOST_TEST(placement.grid.stored_dtype == static_cast<unsigned>(OCTAVO_F16));
  BOOST_TEST(placement.grid.scale_levels == 0u);
  BOOST_TEST(std::string(placement.stored_as).empty());
}

BOOST_AUTO_TEST_CASE(a_layer_without_elements_is_refused) {
  const LayerOf layer("empty", "empty.weight", 0, 256);
  const Placed placed = convrot().grid(layer.raw);
  BOOST_TEST(placed.status == OCTAVO_REFUSED);
  BOOST_TEST(std::string(placed.placement.note) == "the layer has no elements");
  BOOST_TEST(tensorwise().grid(layer.raw).status == OCTAVO_REFUSED);
  BOOST_TEST(blockwise().grid(layer.raw).status == OCTAVO_REFUSED);
  BOOST_TEST(axiswise().grid(layer.raw).status == OCTAVO_REFUSED);
  BOOST_TEST(fp16().grid(layer.raw).status == OCTAVO_REFUSED);
}

BOOST_AUTO_TEST_SUITE_END()
