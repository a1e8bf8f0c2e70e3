#define BOOST_TEST_DYN_LINK
#include "plugin_under_test.hpp"

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

using namespace octavo::test;
using Shape = std::vector<std::int64_t>;

namespace {

constexpr std::uint32_t kNote = 0;
constexpr std::uint32_t kWarning = 1;
constexpr std::uint32_t kError = 2;
constexpr const char* kPlain = R"({"format": "int8_tensorwise"})";

Recognised plain_with_scale(octavo_dtype dtype, const Shape& shape) {
  const FakeHeader header(
      {{"a.weight", OCTAVO_I8, {64, 32}}, {"a.weight_scale", dtype, shape}, marker_tensor("a", kPlain)});
  return tensorwise().recognise(header);
}

Recognised rotated(std::int64_t cols, const std::string& keys, const Shape& scale = {64, 1}) {
  const FakeHeader header(
      {{"a.weight", OCTAVO_I8, {64, cols}},
       {"a.weight_scale", OCTAVO_F32, scale},
       marker_tensor("a", R"({"format": "int8_tensorwise", "convrot": true)" + keys + "}")});
  return convrot().recognise(header);
}

// No format reports the layer, and one alone the finding.
void check_broken(const FakeHeader& header, const std::string& code, const std::string& tensor) {
  std::size_t findings = 0;
  bool found = false;
  for (const FormatUnderTest& format : {tensorwise(), convrot(), blockwise(), axiswise()}) {
    const Recognised recognised = format.recognise(header);
    BOOST_TEST(recognised.layers.empty());
    findings += recognised.findings.size();
    found = found || recognised.has(kError, code, tensor);
  }
  BOOST_TEST(findings == 1u);
  BOOST_TEST(found);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(findings)

BOOST_AUTO_TEST_CASE(markers_that_cannot_be_read) {
  check_broken(FakeHeader({marker_tensor("a", "oops")}), "marker-not-json", "a.comfy_quant");
  check_broken(FakeHeader({marker_tensor("a", std::string(8, '\0'))}), "marker-nul-padded", "a.comfy_quant");
  check_broken(FakeHeader({{"a.weight", OCTAVO_BF16, {8, 8}}, marker_tensor("a", "{}")}),
               "marker-format-missing", "a.comfy_quant");
  check_broken(FakeHeader({{"a.comfy_quant", OCTAVO_I8, {29}}}), "marker-dtype", "a.comfy_quant");
  check_broken(FakeHeader({marker_tensor("a", std::string(70000, ' '))}), "marker-dtype", "a.comfy_quant");
}

BOOST_AUTO_TEST_CASE(metadata_that_cannot_be_read) {
  check_broken(FakeHeader({}, {{"_quantization_metadata", "{"}}), "metadata-not-json", "");
  check_broken(FakeHeader({}, {{"_quantization_metadata", "{}"}}), "metadata-layers-missing", "");
}

BOOST_AUTO_TEST_CASE(a_padded_marker_is_an_error_but_the_layer_is_read) {
  const FakeHeader header({{"a.weight", OCTAVO_I8, {4, 4}},
                           {"a.weight_scale", OCTAVO_F32, {4, 1}},
                           marker_tensor("a", std::string(kPlain) + std::string(3, '\0'))});
  const Recognised recognised = tensorwise().recognise(header);
  BOOST_TEST(recognised.layers.size() == 1u);
  BOOST_TEST(recognised.has(kError, "marker-nul-padded", "a.comfy_quant"));
}

BOOST_AUTO_TEST_CASE(parts_that_are_missing_or_wrong) {
  check_broken(FakeHeader({{"a.weight_scale", OCTAVO_F32, {4, 1}}, marker_tensor("a", kPlain)}),
               "weight-missing", "a.comfy_quant");
  check_broken(FakeHeader({{"a.weight", OCTAVO_I8, {4, 4}}, marker_tensor("a", kPlain)}), "scale-missing",
               "a.weight");
  check_broken(FakeHeader({{"a.weight", OCTAVO_I8, {4, 4}},
                           {"a.scale_weight", OCTAVO_F32, {4, 1}},
                           marker_tensor("a", kPlain)}),
               "scale-missing", "a.weight");
  check_broken(FakeHeader({{"a.weight", OCTAVO_BF16, {4, 4}},
                           {"a.weight_scale", OCTAVO_F32, {4, 1}},
                           marker_tensor("a", kPlain)}),
               "weight-dtype", "a.weight");
  check_broken(
      FakeHeader(
          {{"a.weight", OCTAVO_I8, {4}}, {"a.weight_scale", OCTAVO_F32, {}}, marker_tensor("a", kPlain)}),
      "weight-shape", "a.weight");
}

BOOST_AUTO_TEST_CASE(experts_are_noted) {
  const FakeHeader header({{"a.weight", OCTAVO_I8, {8, 4, 4}},
                           {"a.weight_scale", OCTAVO_F32, {8, 4, 1}},
                           marker_tensor("a", kPlain)});
  BOOST_TEST(tensorwise().recognise(header).has(kNote, "weight-shape", "a.weight"));
}

BOOST_AUTO_TEST_CASE(scales_of_other_dtypes) {
  const Recognised half = plain_with_scale(OCTAVO_F16, {64, 1});
  BOOST_TEST(half.has(kWarning, "scale-dtype", "a.weight_scale"));
  BOOST_TEST(half.layers.at(0).grid.scales[0].dtype == static_cast<unsigned>(OCTAVO_F16));
  const Recognised wrong = plain_with_scale(OCTAVO_F64, {64, 1});
  BOOST_TEST(wrong.has(kError, "scale-dtype", "a.weight_scale"));
  BOOST_TEST(wrong.layers.empty());
}

BOOST_AUTO_TEST_CASE(scales_of_other_shapes) {
  struct Case {
    Shape shape;
    int severity;     // -1: no finding
    int granularity;  // 0: not readable
  };
  for (const Case& c :
       {Case{{}, -1, OCTAVO_PER_TENSOR}, Case{{64, 1}, -1, OCTAVO_PER_ROW}, Case{{1}, 1, OCTAVO_PER_TENSOR},
        Case{{1, 1}, 2, OCTAVO_PER_TENSOR}, Case{{64}, 2, OCTAVO_PER_ROW}, Case{{1, 64}, 2, 0},
        Case{{32}, 2, 0}, Case{{64, 2}, 2, 0}}) {
    const Recognised recognised = plain_with_scale(OCTAVO_F32, c.shape);
    BOOST_TEST_CONTEXT("rank " << c.shape.size() << ", severity " << c.severity) {
      BOOST_TEST(recognised.findings.size() == (c.severity < 0 ? 0u : 1u));
      if (c.severity >= 0)
        BOOST_TEST(recognised.has(static_cast<std::uint32_t>(c.severity), "scale-shape", "a.weight_scale"));
      BOOST_TEST(recognised.layers.size() == (c.granularity == 0 ? 0u : 1u));
      if (c.granularity != 0) {
        BOOST_TEST(recognised.layers.at(0).grid.scales[0].granularity ==
                   static_cast<unsigned>(c.granularity));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(groups_that_do_not_fit) {
  BOOST_TEST(rotated(384, R"(, "convrot_groupsize": 256)").has(kError, "convrot-group", "a.comfy_quant"));
  BOOST_TEST(rotated(384, R"(, "convrot_groupsize": 128)").has(kError, "convrot-group", "a.comfy_quant"));
  BOOST_TEST(rotated(384, R"(, "convrot_groupsize": 128)").layers.empty());
  const Recognised unsaid = rotated(512, "");
  BOOST_TEST(unsaid.has(kWarning, "convrot-group-missing", "a.comfy_quant"));
  BOOST_TEST(unsaid.layers.at(0).grid.basis_group == 256);
  BOOST_TEST(
      rotated(256, R"(, "convrot_groupsize": 256)", {}).has(kWarning, "scale-shape", "a.weight_scale"));
}

BOOST_AUTO_TEST_CASE(blocks_that_do_not_fit) {
  const auto blocks = [](std::int64_t rows, const Shape& scale) {
    const FakeHeader header({{"a.weight", OCTAVO_I8, {rows, 256}},
                             {"a.weight_scale", OCTAVO_F32, scale},
                             marker_tensor("a", R"({"format": "int8_blockwise", "group_size": 128})")});
    return blockwise().recognise(header);
  };
  BOOST_TEST(blocks(128, {1, 2}).findings.empty());
  BOOST_TEST(blocks(128, {2, 1}).has(kError, "scale-shape", "a.weight_scale"));
  BOOST_TEST(blocks(100, {1, 2}).has(kError, "block-size", "a.weight_scale"));
}

BOOST_AUTO_TEST_CASE(an_activation_scale_is_noted) {
  const FakeHeader header({{"a.input_scale", OCTAVO_F32, {}},
                           {"a.weight", OCTAVO_I8, {4, 4}},
                           {"a.weight_scale", OCTAVO_F32, {4, 1}},
                           marker_tensor("a", kPlain)});
  const Recognised recognised = tensorwise().recognise(header);
  BOOST_TEST(recognised.has(kNote, "input-scale", "a.input_scale"));
  BOOST_TEST(recognised.layers.at(0).entries.at(OCTAVO_ROLE_INPUT_SCALE) == "a.input_scale");
}

BOOST_AUTO_TEST_SUITE_END()
