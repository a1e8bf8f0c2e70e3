#define BOOST_TEST_DYN_LINK
#include "plan/layer_config.hpp"

#include "base/error.hpp"

#include <boost/test/unit_test.hpp>

namespace octavo::plan {
namespace {

LayerConfig parse(const std::string& text) { return parse_layer_config(text, "layers.json"); }

// The message that refuses `text` holds all of `words`.
void refused(const std::string& text, const std::vector<std::string>& words) {
  try {
    parse(text);
    BOOST_ERROR("accepted: " << text);
  } catch (const Error& error) {
    BOOST_TEST((error.code() == ErrorCode::bad_input));
    for (const std::string& word : words) {
      BOOST_TEST(std::string(error.what()).find(word) != std::string::npos, error.what()
                                                                                << " does not say " << word);
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(layer_config)

BOOST_AUTO_TEST_CASE(every_setting_is_read) {
  const LayerConfig config = parse(R"({
  "_comment": "nothing",
  "_default": {"format": "int8_blockwise", "block_size": 64},
  "attn\\.q$": {
    "format": "int8_tensorwise:scale=tensor", "optimizer": "gptq", "scaling_mode": "row", "simple": 1,
    "full_precision_matrix_mult": false, "_shape": [64, {"format": []}]
  },
  "^first\\.": {"skip": true, "format": ""}
})");
  BOOST_REQUIRE(config.entries.size() == 2);
  const LayerConfigEntry& attention = config.entries[0];
  BOOST_TEST(attention.name == "attn\\.q$");
  BOOST_TEST(attention.line == 4);
  BOOST_TEST(attention.format == "int8_tensorwise:scale=tensor");
  BOOST_TEST(attention.optimizer == "gptq");
  BOOST_TEST(attention.scaling_mode == "row");
  BOOST_TEST(attention.simple);
  BOOST_TEST((attention.full_precision_matmul == std::optional(false)));
  BOOST_TEST(config.entries[1].skip);
  BOOST_TEST(config.entries[1].line == 8);
  BOOST_TEST(!config.entries[1].full_precision_matmul.has_value());
  BOOST_REQUIRE(config.otherwise.has_value());
  BOOST_TEST(config.otherwise->format == "int8_blockwise");
  BOOST_TEST(config.otherwise->block_size == 64);
  BOOST_TEST(config.notes.empty());
}

BOOST_AUTO_TEST_CASE(a_key_without_meaning_is_noted) {
  const LayerConfig config = parse("{\n\"a\": {\"format\": \"fp16\",\n \"block_sise\": 64}}");
  BOOST_REQUIRE(config.notes.size() == 1);
  BOOST_TEST(config.notes[0].find("line 3") != std::string::npos);
  BOOST_TEST(config.notes[0].find("block_size?") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(what_is_wrong_is_refused_with_line_and_key) {
  refused("{\n\n\"a\": {\"format\": \"fp16\",}}", {"line 3", "JSON"});
  refused("", {"line 1", "JSON"});
  refused("[]", {"array"});
  refused("{\n\"attn\": \"int8\"}", {"line 2", "'attn'", "string"});
  refused("{\"a\": {}}", {"'a'", "no format"});
  refused("{\n\"_default\": {\"format\": \"\"}}", {"line 2", "'_default'", "no format"});
  refused("{\"_default\": 3}", {"'_default'", "number"});
  refused("{\"a\": {\"format\":\n 5}}", {"line 1", "'format' of 'a'", "5"});
  refused("{\"a\": {\"format\": \"x\",\n\"scaling_mode\": \"rows\"}}", {"line 2", "\"rows\"", "axis"});
  refused("{\"a\": {\"format\": \"x\",\n\"block_size\": 0}}", {"line 2", "block_size", "0"});
  refused("{\"a\": {\"format\": \"x\", \"block_size\": 1.5}}", {"1.5"});
  refused("{\"a\": {\"skip\": \"no\"}}", {"'skip' of 'a'", "true or false"});
  refused("{\"a\": {\"format\": \"x\"},\n\"a\": {\"format\": \"y\"}}", {"line 2", "'a'", "line 1"});
  refused("{\"a\": {\"format\": \"x\",\n\"format\": \"y\"}}", {"line 2", "'format'"});
}

BOOST_AUTO_TEST_CASE(a_missing_file_is_an_error) {
  try {
    read_layer_config("/nonexistent/layers.json");
    BOOST_ERROR("read");
  } catch (const Error& error) {
    BOOST_TEST((error.code() == ErrorCode::io));
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace octavo::plan
