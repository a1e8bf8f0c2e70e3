#define BOOST_TEST_DYN_LINK
#include "batch/output_template.hpp"

#include "base/error.hpp"

#include <boost/test/unit_test.hpp>

#include <string>

namespace {

using octavo::cli::OutputParts;
using octavo::cli::OutputTemplate;

std::string path(const std::string& text, const OutputParts& parts) {
  return OutputTemplate(text).path(parts).string();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(output_template)

BOOST_AUTO_TEST_CASE(names) {
  const OutputParts parts{"models/a.b.safetensors", "int8_convrot", "gptq"};
  BOOST_TEST(path("", parts) == "models/a.b_int8_convrot_gptq.safetensors");
  BOOST_TEST(path("small/", parts) == "small/a.b_int8_convrot_gptq.safetensors");
  BOOST_TEST(path("no/such/folder", parts) == "no/such/folder/a.b_int8_convrot_gptq.safetensors");
  BOOST_TEST(path("{{small}}", parts) == "{small}/a.b_int8_convrot_gptq.safetensors");
  BOOST_TEST(path("one.safetensors", parts) == "one.safetensors");
  BOOST_TEST(path("one.sft", parts) == "one.sft");
  BOOST_TEST(path("{folder}/x/{stem}-{format}.{optimizer}.safetensors", parts) ==
             "models/x/a.b-int8_convrot.gptq.safetensors");
  BOOST_TEST(path("out/{name}", parts) == "out/a.b.safetensors");
  BOOST_TEST(path("{format}/", parts) == "int8_convrot/a.b_int8_convrot_gptq.safetensors");
  BOOST_TEST(path("{{{stem}}}.safetensors", parts) == "{a.b}.safetensors");
  BOOST_TEST(path("/", parts) == "/a.b_int8_convrot_gptq.safetensors");
}

BOOST_AUTO_TEST_CASE(folders_and_inputs_without_one) {
  BOOST_TEST(path("", {"hf/", "fp16", "nearest", true}) == "hf_fp16");
  BOOST_TEST(path("{folder}/{stem}", {"models/hf/", "fp16", "nearest", true}) == "models/hf");
  BOOST_TEST(path("{folder}/s.safetensors", {"a.safetensors", "fp16", "nearest"}) == "./s.safetensors");
  BOOST_TEST(path("{stem}.safetensors", {"a/m.safetensors.index.json", "fp16", "nearest"}) ==
             "m.safetensors");
}

BOOST_AUTO_TEST_CASE(words_that_do_not_exist) {
  for (const char* text : {"{model}", "{", "}", "{stem", "{stem!r}"}) {
    BOOST_TEST_CONTEXT(text) {
      BOOST_CHECK_EXCEPTION(OutputTemplate made(text), octavo::Error, [](const octavo::Error& error) {
        return error.code() == octavo::ErrorCode::usage;
      });
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
