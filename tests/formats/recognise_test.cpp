#define BOOST_TEST_DYN_LINK
#include "plugin_under_test.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <string>
#include <vector>

using namespace octavo::test;
using Shape = std::vector<std::int64_t>;

namespace {

constexpr const char* kPlain = R"({"format": "int8_tensorwise"})";
constexpr const char* kRotated = R"({"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": 64})";

// A file with one layer "a" and a bias.
std::vector<FakeTensor> layer_a(std::int64_t rows, std::int64_t cols, const Shape& scale,
                                const std::string& marker) {
  return {{"a.bias", OCTAVO_F32, {rows}},
          {"a.weight", OCTAVO_I8, {rows, cols}},
          {"a.weight_scale", OCTAVO_F32, scale},
          marker_tensor("a", marker)};
}

struct Counts {
  std::size_t plain, rotated, blocks, axis;
  bool operator==(const Counts&) const = default;
};

// How many layers each format claims.
Counts counts(const FakeHeader& header) {
  return {tensorwise().recognise(header).layers.size(), convrot().recognise(header).layers.size(),
          blockwise().recognise(header).layers.size(), axiswise().recognise(header).layers.size()};
}

bool same_grid(const octavo_grid& a, const octavo_grid& b) {
  return a.code == b.code && a.stored_dtype == b.stored_dtype && a.qmin == b.qmin && a.qmax == b.qmax &&
         a.scale_levels == b.scale_levels && a.scales[0].granularity == b.scales[0].granularity &&
         a.scales[0].dtype == b.scales[0].dtype && a.scales[0].block_rows == b.scales[0].block_rows &&
         a.scales[0].block_cols == b.scales[0].block_cols && a.basis == b.basis &&
         a.basis_group == b.basis_group && a.row_multiple == b.row_multiple && a.rows == b.rows &&
         a.cols == b.cols;
}

// What a format writes, as a header.
std::vector<FakeTensor> written(const FormatUnderTest& format, const LayerOf& layer, std::uint32_t flags) {
  std::vector<FakeTensor> tensors;
  for (const OwnedEntry& entry : format.entries(layer.raw, format.grid(layer.raw).placement.grid, flags))
    tensors.push_back({entry.key, static_cast<octavo_dtype>(entry.dtype), entry.shape, entry.bytes});
  return tensors;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(recognise)

// Whatever is written is found again by one format alone, with the same grid and every companion.
BOOST_AUTO_TEST_CASE(round_trip_of_every_format) {
  const std::array<FormatUnderTest, 4> readers{tensorwise(), convrot(), blockwise(), axiswise()};
  const std::array<FormatUnderTest, 6> writers{tensorwise(), tensorwise({{"scale", "tensor"}}),
                                               convrot(),    blockwise(),
                                               axiswise(),   convrot({{"group", "256"}})};
  const std::array<Shape, 6> shapes{Shape{1, 256}, Shape{128, 128}, Shape{256, 384},
                                    Shape{7, 255}, Shape{96, 8},    Shape{384, 32}};
  for (const FormatUnderTest& writer : writers) {
    for (const Shape& shape : shapes) {
      BOOST_TEST_CONTEXT(writer.plugin().id << ' ' << shape[0] << " x " << shape[1]) {
        const LayerOf layer("model.x.0", "model.x.0.weight", shape[0], shape[1]);
        const FakeHeader header(written(writer, layer, OCTAVO_ENTRIES_FULL_PRECISION_MATMUL));
        std::vector<Found> found;
        for (const FormatUnderTest& reader : readers) {
          const Recognised recognised = reader.recognise(header);
          BOOST_TEST(recognised.findings.empty());
          found.insert(found.end(), recognised.layers.begin(), recognised.layers.end());
        }
        BOOST_TEST_REQUIRE(found.size() == 1u);
        BOOST_TEST(found[0].name == "model.x.0");
        BOOST_TEST(found[0].flags == OCTAVO_ENTRIES_FULL_PRECISION_MATMUL);
        BOOST_TEST(same_grid(found[0].grid, writer.grid(layer.raw).placement.grid));
        BOOST_TEST(found[0].entries[OCTAVO_ROLE_CODES] == "model.x.0.weight");
        BOOST_TEST(found[0].entries[OCTAVO_ROLE_SCALES] == "model.x.0.weight_scale");
        BOOST_TEST(found[0].entries[OCTAVO_ROLE_MARKER] == "model.x.0.comfy_quant");
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(legacy_layers_are_told_apart_by_their_scale) {
  struct Case {
    Shape scale;
    Counts expected;
  };
  for (const Case& c : {Case{{}, {1, 0, 0, 0}}, Case{{256, 1}, {1, 0, 0, 0}}, Case{{2, 3}, {0, 0, 1, 0}},
                        Case{{4, 6}, {0, 0, 1, 0}}, Case{{256}, {0, 0, 0, 1}}}) {
    const FakeHeader header({{"a.weight", OCTAVO_I8, {256, 384}}, {"a.scale_weight", OCTAVO_F32, c.scale}});
    BOOST_TEST((counts(header) == c.expected));
  }
  const FakeHeader blocks({{"a.weight", OCTAVO_I8, {256, 384}},
                           {"a.scale_weight", OCTAVO_F32, {4, 6}},
                           {"a.scale_input", OCTAVO_F32, {4, 6}}});
  const Found found = blockwise().recognise(blocks).layers.at(0);
  BOOST_TEST(found.grid.scales[0].block_rows == 64);
  BOOST_TEST(found.flags == (OCTAVO_ENTRIES_LEGACY_KEYS | OCTAVO_ENTRIES_INPUT_SCALE));
  BOOST_TEST(found.entries.at(OCTAVO_ROLE_INPUT_SCALE) == "a.scale_input");
}

BOOST_AUTO_TEST_CASE(legacy_fp8_is_another_formats) {
  const FakeHeader header({{"a.weight", OCTAVO_F8_E4M3, {64, 64}}, {"a.scale_weight", OCTAVO_F32, {}}});
  BOOST_TEST((counts(header) == Counts{0, 0, 0, 0}));
  BOOST_TEST(tensorwise().recognise(header).findings.empty());
}

BOOST_AUTO_TEST_CASE(an_i8_weight_without_marker_is_nobodys) {
  const FakeHeader header({{"a.weight", OCTAVO_I8, {64, 64}}, {"a.weight_scale", OCTAVO_F32, {64, 1}}});
  BOOST_TEST((counts(header) == Counts{0, 0, 0, 0}));
}

BOOST_AUTO_TEST_CASE(other_tools_markers) {
  const FakeHeader fast(
      layer_a(64, 256, {64, 1},
              R"({"convrot_groupsize":256,"per_row":true,"convrot":true,"format":"int8_tensorwise"})"));
  BOOST_TEST((counts(fast) == Counts{0, 1, 0, 0}));
  const FakeHeader nested(
      layer_a(64, 256, {64, 1},
              R"({"format": "int8_tensorwise", "params": {"convrot": true, "convrot_groupsize": 16}})"));
  BOOST_TEST(convrot().recognise(nested).layers.at(0).grid.basis_group == 16);
  // The toolkit of the format's authors leaves `format` out.
  const FakeHeader kit(
      layer_a(64, 256, {64, 1}, R"({"convrot": true, "convrot_groupsize": 256, "per_row": true})"));
  BOOST_TEST((counts(kit) == Counts{0, 1, 0, 0}));
  BOOST_TEST(convrot().recognise(kit).has(2, "marker-format-missing", "a.comfy_quant"));
  // One-element scales lose their shape in some tools.
  const FakeHeader one(layer_a(1, 64, {}, R"({"format": "int8_axiswise"})"));
  BOOST_TEST((counts(one) == Counts{0, 0, 0, 1}));
  const FakeHeader fp8(layer_a(64, 64, {}, R"({"format": "float8_e4m3fn"})"));
  BOOST_TEST((counts(fp8) == Counts{0, 0, 0, 0}));
}

BOOST_AUTO_TEST_CASE(metadata_overrules_markers) {
  const std::string rotated = std::string(R"({"format_version": "1.0", "layers": {"a": )") + kRotated + "}}";
  const FakeHeader agreeing(layer_a(64, 256, {64, 1}, kRotated), {{"_quantization_metadata", rotated}});
  BOOST_TEST((counts(agreeing) == Counts{0, 1, 0, 0}));
  BOOST_TEST(convrot().recognise(agreeing).findings.empty());

  const FakeHeader differing(layer_a(64, 256, {64, 1}, kPlain), {{"_quantization_metadata", rotated}});
  BOOST_TEST((counts(differing) == Counts{0, 1, 0, 0}));
  const Recognised recognised = convrot().recognise(differing);
  BOOST_TEST(recognised.layers.at(0).grid.basis_group == 64);
  BOOST_TEST(recognised.has(2, "metadata-disagrees", "a.comfy_quant"));
}

BOOST_AUTO_TEST_CASE(metadata_alone_is_enough) {
  const FakeHeader header(
      {{"model.diffusion_model.a.weight", OCTAVO_I8, {8, 4}},
       {"model.diffusion_model.a.weight_scale", OCTAVO_F32, {}}},
      {{"_quantization_metadata", R"({"layers": {"a": {"format": "int8_tensorwise"}}})"}});
  const Recognised recognised = tensorwise().recognise(header);
  BOOST_TEST_REQUIRE(recognised.layers.size() == 1u);
  BOOST_TEST(recognised.layers[0].name == "model.diffusion_model.a");
  BOOST_TEST(recognised.layers[0].entries.count(OCTAVO_ROLE_MARKER) == 0u);
}

BOOST_AUTO_TEST_CASE(a_bare_lora_key_is_found) {
  const FakeHeader header({{"x.lora_A", OCTAVO_I8, {64, 80}},
                           {"x.lora_A.weight_scale", OCTAVO_F32, {64, 1}},
                           marker_tensor("x.lora_A", kPlain)});
  const Recognised recognised = tensorwise().recognise(header);
  BOOST_TEST_REQUIRE(recognised.layers.size() == 1u);
  BOOST_TEST(recognised.layers[0].entries.at(OCTAVO_ROLE_CODES) == "x.lora_A");
}

BOOST_AUTO_TEST_CASE(fp16_has_nothing_to_find) {
  const FakeHeader header({{"a.weight", OCTAVO_F16, {64, 64}}});
  BOOST_TEST(fp16().recognise(header).layers.empty());
}

BOOST_AUTO_TEST_SUITE_END()
