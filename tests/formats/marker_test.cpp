#define BOOST_TEST_DYN_LINK
#include "int8/marker.hpp"

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <string_view>

using octavo::int8::Marker;
using octavo::int8::marker_text;
using octavo::int8::MarkerReading;
using octavo::int8::read_marker;

namespace {
MarkerReading read(std::string_view bytes) { return read_marker(bytes); }
}  // namespace

BOOST_AUTO_TEST_SUITE(marker)

// Bytes and lengths of the published files.
BOOST_AUTO_TEST_CASE(texts_are_the_published_bytes) {
  Marker rotated{.format = "int8_tensorwise", .convrot = true, .convrot_groupsize = 256};
  BOOST_TEST(marker_text(rotated) ==
             R"({"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": 256})");
  BOOST_TEST(marker_text(rotated).size() == 72u);
  rotated.full_precision = true;
  BOOST_TEST(marker_text(rotated) ==
             R"({"format": "int8_tensorwise", "full_precision_matrix_mult": true, "convrot": true, )"
             R"("convrot_groupsize": 256})");

  Marker plain{.format = "int8_tensorwise"};
  BOOST_TEST(marker_text(plain).size() == 29u);
  plain.full_precision = true;
  BOOST_TEST(marker_text(plain) == R"({"format": "int8_tensorwise", "full_precision_matrix_mult": true})");
  BOOST_TEST(marker_text(plain).size() == 65u);

  Marker blocks{.format = "int8_blockwise", .group_size = 128};
  BOOST_TEST(marker_text(blocks) == R"({"format": "int8_blockwise", "group_size": 128})");
  BOOST_TEST(marker_text(blocks).size() == 47u);
  blocks.full_precision = true;
  BOOST_TEST(marker_text(blocks) ==
             R"({"format": "int8_blockwise", "group_size": 128, "full_precision_matrix_mult": true})");

  BOOST_TEST(marker_text(Marker{.format = "int8_axiswise"}).size() == 27u);
}

BOOST_AUTO_TEST_CASE(other_tools_spellings_are_read) {
  const Marker expected{.format = "int8_tensorwise", .convrot = true, .convrot_groupsize = 64};
  for (const char* text :
       {R"({"convrot_groupsize":64,"convrot":true,"format":"int8_tensorwise"})",
        R"({"format": "int8_tensorwise", "per_row": true, "convrot": true, "convrot_groupsize": 64}   )",
        R"({"format": "int8_tensorwise", "params": {"convrot": true, "convrot_groupsize": 64}})",
        R"({"format": "int8_tensorwise", "convrot": 1, "convrot_groupsize": 64, "orig_dtype": null})"}) {
    const MarkerReading reading = read(text);
    BOOST_TEST_CONTEXT(text) {
      BOOST_TEST(!reading.fault.has_value());
      BOOST_REQUIRE(reading.marker.has_value());
      BOOST_TEST((*reading.marker == expected));
    }
  }
  BOOST_TEST(
      !read(R"({"format": "int8_tensorwise", "convrot": false, "convrot_groupsize": 64})").marker->convrot);
}

BOOST_AUTO_TEST_CASE(faults_have_codes) {
  const auto code = [](std::string_view text) {
    const MarkerReading reading = read(text);
    return reading.fault ? reading.fault->code : std::string();
  };
  BOOST_TEST(code("") == "marker-not-json");
  BOOST_TEST(code("int8") == "marker-not-json");
  BOOST_TEST(code("[1]") == "marker-not-json");
  BOOST_TEST(code("{\"format\": \"int8_tensorwise\"") == "marker-not-json");
  BOOST_TEST(code("{}") == "marker-format-missing");
  BOOST_TEST(code(R"({"format": 8})") == "marker-value");
  BOOST_TEST(code(R"({"format": "int8_tensorwise", "convrot": "yes"})") == "marker-value");
  BOOST_TEST(code(R"({"format": "int8_tensorwise", "convrot_groupsize": -256})") == "marker-value");
  BOOST_TEST(code(R"({"format": "int8_tensorwise", "convrot_groupsize": 256.5})") == "marker-value");
  BOOST_TEST(code(R"({"format": "int8_tensorwise", "convrot_groupsize": 18446744073709551615})") ==
             "marker-value");
  BOOST_TEST(code(std::string_view("\0\0\0\0", 4)) == "marker-nul-padded");
  BOOST_TEST(code(std::string_view("{}\0x", 4)) == "marker-not-json");
}

BOOST_AUTO_TEST_CASE(a_padded_marker_is_read_and_named) {
  const std::string padded = std::string(R"({"format": "int8_tensorwise"})") + std::string(3, '\0');
  const MarkerReading reading = read(padded);
  BOOST_REQUIRE(reading.marker.has_value());
  BOOST_TEST(reading.marker->format == "int8_tensorwise");
  BOOST_REQUIRE(reading.fault.has_value());
  BOOST_TEST(reading.fault->code == "marker-nul-padded");
}

BOOST_AUTO_TEST_CASE(deep_nesting_is_refused) {
  const std::string deep =
      R"({"format": "int8_tensorwise", "x": )" + std::string(60000, '[') + std::string(60000, ']') + "}";
  BOOST_REQUIRE(read(deep).fault.has_value());
  BOOST_TEST(read(deep).fault->code == "marker-not-json");
}

BOOST_AUTO_TEST_SUITE_END()
