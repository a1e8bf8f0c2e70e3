#define BOOST_TEST_DYN_LINK
#include "plugin_under_test.hpp"

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

using namespace octavo::test;
using Shape = std::vector<std::int64_t>;

namespace {

struct Expected {
  octavo_role role;
  std::string key;
  octavo_dtype dtype;
  Shape shape;
  std::string bytes;
};

void check(const FormatUnderTest& format, const LayerOf& layer, std::uint32_t flags,
           const std::vector<Expected>& expected) {
  const std::vector<OwnedEntry> made =
      format.entries(layer.raw, format.grid(layer.raw).placement.grid, flags);
  BOOST_TEST_REQUIRE(made.size() == expected.size());
  for (std::size_t i = 0; i < made.size(); ++i) {
    BOOST_TEST_CONTEXT(expected[i].key) {
      BOOST_TEST(made[i].role == static_cast<unsigned>(expected[i].role));
      BOOST_TEST(made[i].key == expected[i].key);
      BOOST_TEST(made[i].dtype == static_cast<unsigned>(expected[i].dtype));
      BOOST_TEST(made[i].shape == expected[i].shape, boost::test_tools::per_element());
      BOOST_TEST(made[i].bytes == expected[i].bytes);
    }
  }
}

Expected codes(const std::string& key, std::int64_t rows, std::int64_t cols) {
  return {OCTAVO_ROLE_CODES, key, OCTAVO_I8, {rows, cols}, {}};
}
Expected scales(const std::string& key, const Shape& shape) {
  return {OCTAVO_ROLE_SCALES, key, OCTAVO_F32, shape, {}};
}
Expected marker(const std::string& key, const std::string& text, std::int64_t length) {
  return {OCTAVO_ROLE_MARKER, key, OCTAVO_U8, {length}, text};
}

constexpr const char* kPlain = R"({"format": "int8_tensorwise"})";

}  // namespace

BOOST_AUTO_TEST_SUITE(entries)

BOOST_AUTO_TEST_CASE(convrot_writes_both_keys) {
  check(convrot(), {"a.b", "a.b.weight", 640, 3072}, 0,
        {codes("a.b.weight", 640, 3072), scales("a.b.weight_scale", {640, 1}),
         marker("a.b.comfy_quant",
                R"({"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": 256})", 72)});
  check(convrot(), {"a", "a.weight", 1, 384}, 0,
        {codes("a.weight", 1, 384), scales("a.weight_scale", {1, 1}),
         marker("a.comfy_quant", R"({"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": 64})",
                71)});
}

BOOST_AUTO_TEST_CASE(convrot_without_a_group_is_plain_rows) {
  for (const std::int64_t cols : {8, 255}) {
    check(convrot(), {"a", "a.weight", 32, cols}, 0,
          {codes("a.weight", 32, cols), scales("a.weight_scale", {32, 1}),
           marker("a.comfy_quant", kPlain, 29)});
  }
}

BOOST_AUTO_TEST_CASE(tensorwise_scales_keep_their_shape) {
  check(tensorwise(), {"a", "a.weight", 1, 7}, 0,
        {codes("a.weight", 1, 7), scales("a.weight_scale", {1, 1}), marker("a.comfy_quant", kPlain, 29)});
  check(tensorwise({{"scale", "tensor"}}), {"a", "a.weight", 9, 7}, 0,
        {codes("a.weight", 9, 7), scales("a.weight_scale", {}), marker("a.comfy_quant", kPlain, 29)});
}

BOOST_AUTO_TEST_CASE(blocks_and_their_fallback) {
  check(blockwise(), {"a", "a.weight", 256, 384}, 0,
        {codes("a.weight", 256, 384), scales("a.weight_scale", {2, 3}),
         marker("a.comfy_quant", R"({"format": "int8_blockwise", "group_size": 128})", 47)});
  check(
      blockwise(), {"a", "a.weight", 256, 130}, 0,
      {codes("a.weight", 256, 130), scales("a.weight_scale", {256, 1}), marker("a.comfy_quant", kPlain, 29)});
}

BOOST_AUTO_TEST_CASE(axiswise_scales_are_a_vector) {
  check(axiswise(), {"a", "a.weight", 5, 7}, 0,
        {codes("a.weight", 5, 7), scales("a.weight_scale", {5}),
         marker("a.comfy_quant", R"({"format": "int8_axiswise"})", 27)});
}

BOOST_AUTO_TEST_CASE(fp16_is_the_weight_alone) {
  check(fp16(), {"a", "a.weight", 5, 7}, OCTAVO_ENTRIES_FULL_PRECISION_MATMUL | OCTAVO_ENTRIES_INPUT_SCALE,
        {{OCTAVO_ROLE_CODES, "a.weight", OCTAVO_F16, {5, 7}, {}}});
}

BOOST_AUTO_TEST_CASE(full_precision_comes_before_the_convrot_keys) {
  const std::string text =
      R"({"format": "int8_tensorwise", "full_precision_matrix_mult": true, "convrot": true, "convrot_groupsize": 256})";
  check(convrot(), {"a", "a.weight", 2, 256}, OCTAVO_ENTRIES_FULL_PRECISION_MATMUL,
        {codes("a.weight", 2, 256), scales("a.weight_scale", {2, 1}), marker("a.comfy_quant", text, 108)});
}

BOOST_AUTO_TEST_CASE(legacy_keys_have_no_marker) {
  const std::uint32_t flags = OCTAVO_ENTRIES_LEGACY_KEYS | OCTAVO_ENTRIES_INPUT_SCALE;
  check(blockwise(), {"a", "a.weight", 128, 256}, flags,
        {codes("a.weight", 128, 256),
         scales("a.scale_weight", {1, 2}),
         {OCTAVO_ROLE_INPUT_SCALE, "a.scale_input", OCTAVO_F32, {1, 2}, {}}});
  check(tensorwise(), {"a", "a.weight", 4, 256}, OCTAVO_ENTRIES_LEGACY_KEYS,
        {codes("a.weight", 4, 256), scales("a.scale_weight", {4, 1})});
}

// Without a marker nobody could tell that the codes are rotated.
BOOST_AUTO_TEST_CASE(legacy_keys_refuse_a_rotated_layer) {
  const LayerOf layer("a", "a.weight", 4, 256);
  const FormatUnderTest format = convrot();
  const octavo_grid grid = format.grid(layer.raw).placement.grid;
  BOOST_CHECK_EXCEPTION(format.entries(layer.raw, grid, OCTAVO_ENTRIES_LEGACY_KEYS), octavo::PluginError,
                        [](const octavo::PluginError& error) {
                          return error.status() == OCTAVO_UNSUPPORTED &&
                                 std::string(error.what()).find("'a' is rotated") != std::string::npos &&
                                 !error.hint().empty();
                        });
}

BOOST_AUTO_TEST_CASE(an_activation_scale_is_one_number) {
  check(tensorwise(), {"a", "a.weight", 4, 5}, OCTAVO_ENTRIES_INPUT_SCALE,
        {codes("a.weight", 4, 5),
         scales("a.weight_scale", {4, 1}),
         marker("a.comfy_quant", kPlain, 29),
         {OCTAVO_ROLE_INPUT_SCALE, "a.input_scale", OCTAVO_F32, {}, {}}});
}

BOOST_AUTO_TEST_CASE(a_bare_lora_key_is_its_own_base) {
  check(tensorwise(), {"block.0.lora_A", "block.0.lora_A", 64, 80}, 0,
        {codes("block.0.lora_A", 64, 80), scales("block.0.lora_A.weight_scale", {64, 1}),
         marker("block.0.lora_A.comfy_quant", kPlain, 29)});
}

BOOST_AUTO_TEST_SUITE_END()
