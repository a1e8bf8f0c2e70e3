#define BOOST_TEST_DYN_LINK
// The text of a change, and what it makes of a marker. Expected texts are what Python's json.dumps prints.
#include "edit/marker_change.hpp"

#include "base/error.hpp"
#include "edit/spaced_json.hpp"

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

namespace {

using octavo::Error;
using octavo::ErrorCode;
using namespace octavo::edit;
using Json = nlohmann::ordered_json;

std::string text_of(const std::string& pairs) { return spaced_json(parse_pairs(pairs)); }

bool is_usage(const Error& error) { return error.code() == ErrorCode::usage; }

}  // namespace

BOOST_AUTO_TEST_SUITE(marker_change)

BOOST_AUTO_TEST_CASE(pairs_and_what_their_values_are) {
  BOOST_TEST(text_of("'full_precision_matrix_mult': true") == R"({"full_precision_matrix_mult": true})");
  BOOST_TEST(text_of("'a': True, 'b': FALSE") == R"({"a": true, "b": false})");
  BOOST_TEST(text_of("'a':1,'b':-2 , 'c': 0.5") == R"({"a": 1, "b": -2, "c": 0.5})");
  BOOST_TEST(text_of("'a': 1.0, 'b': 1e3") == R"({"a": 1.0, "b": 1000.0})");
  BOOST_TEST(text_of("'a': word, 'b': two words") == R"({"a": "word", "b": "two words"})");
  BOOST_TEST(text_of("'a': '7', \"b\": \"true\"") == R"({"a": "7", "b": "true"})");
  BOOST_TEST(text_of("'a': 'x, y'") == R"({"a": "x, y"})");
  BOOST_TEST(text_of("'a': inf, 'b': nan, 'c': 12x") == R"({"a": "inf", "b": "nan", "c": "12x"})");
  BOOST_TEST(text_of(" 'a': 1, ") == R"({"a": 1})");
  BOOST_TEST(text_of("'a': 1, 'a': 2") == R"({"a": 2})");
}

BOOST_AUTO_TEST_CASE(pairs_as_json) {
  BOOST_TEST(text_of(R"({"b": [1, {"c": null}], "a": "\u00e9"})") ==
             R"({"b": [1, {"c": null}], "a": "\u00e9"})");
  BOOST_TEST(text_of("  {}") == "{}");
}

BOOST_AUTO_TEST_CASE(pairs_that_are_none) {
  for (const char* text :
       {"", "a: 1", "'a'", "'a' 1", "'a':", "'a': ,'b': 1", "'a: 1", "'': 1", "'a': 1, b: 2", "'a': 'x",
        "{\"a\": }", "{'a': 1}", "{\"a\": 1} x", "'a': 'b' c"}) {
    BOOST_TEST_CONTEXT(text) { BOOST_CHECK_EXCEPTION(parse_pairs(text), Error, is_usage); }
  }
}

BOOST_AUTO_TEST_CASE(keys) {
  const std::vector<std::string> expected = {"per_row", "group_size"};
  BOOST_TEST(parse_keys(" per_row,group_size ") == expected, boost::test_tools::per_element());
  for (const char* text : {"", " ", "a,", ",a", "a,,b"}) {
    BOOST_TEST_CONTEXT(text) { BOOST_CHECK_EXCEPTION(parse_keys(text), Error, is_usage); }
  }
}

BOOST_AUTO_TEST_CASE(removing_comes_before_adding_and_keys_keep_their_places) {
  const Json marker = Json::parse(R"({"format": "int8_tensorwise", "convrot": true, "per_row": true})");
  MarkerChange change{{"per_row", "missing"}, parse_pairs("'convrot': false, 'new': 1, 'per_row': false")};
  BOOST_TEST(spaced_json(changed(marker, change)) ==
             R"({"format": "int8_tensorwise", "convrot": false, "new": 1, "per_row": false})");
  BOOST_TEST(spaced_json(changed(marker, {})) == spaced_json(marker));
}

// The place that a conversion gives it, so that both make the same bytes.
BOOST_AUTO_TEST_CASE(full_precision_stands_where_a_conversion_puts_it) {
  const MarkerChange change{{}, parse_pairs("'full_precision_matrix_mult': true")};
  BOOST_TEST(
      spaced_json(changed(Json::parse(R"({"format": "int8_blockwise", "group_size": 128})"), change)) ==
      R"({"format": "int8_blockwise", "group_size": 128, "full_precision_matrix_mult": true})");
  BOOST_TEST(
      spaced_json(
          changed(Json::parse(R"({"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": 256})"),
                  change)) ==
      R"({"format": "int8_tensorwise", "full_precision_matrix_mult": true, "convrot": true, "convrot_groupsize": 256})");
}

BOOST_AUTO_TEST_CASE(markers_that_are_no_objects) {
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[]"), std::string("null"), std::string("{}\0", 3),
        std::string("{} {}"), std::string("{\"a\": \xff}"), std::string(40, '[') + std::string(40, ']')}) {
    BOOST_CHECK_EXCEPTION(parse_marker(text, "a.comfy_quant"), Error, [](const Error& error) {
      return error.code() == ErrorCode::bad_input &&
             std::string(error.what()).find("a.comfy_quant") != std::string::npos;
    });
  }
}

BOOST_AUTO_TEST_SUITE_END()
