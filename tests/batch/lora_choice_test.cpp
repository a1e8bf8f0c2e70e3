#define BOOST_TEST_DYN_LINK
#include "batch/lora_choice.hpp"

#include "../unit/temporary_folder.hpp"
#include "base/error.hpp"

#include <boost/test/unit_test.hpp>

#include <fstream>
#include <string>

namespace {

using octavo::Error;
using octavo::ErrorCode;
using octavo::cli::LoraChoice;

class Folder {
 public:
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_.path() / name) << text;
    return (folder_.path() / name).string();
  }
  std::string path(const std::string& name = "") const { return (folder_.path() / name).string(); }

 private:
  octavo::test::TemporaryFolder folder_;
};

// "a.safetensors b.safetensors:0.8": names and strengths of what is merged into the model.
std::string chosen(LoraChoice& choice, const std::string& model) {
  std::string text;
  for (const auto& lora : choice.of(model)) {
    text += (text.empty() ? "" : " ") + lora.path.filename().string();
    if (lora.strength != 1) text += ":" + std::to_string(lora.strength).substr(0, 4);
  }
  return text;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(lora_choice)

BOOST_AUTO_TEST_CASE(the_file_name_wins_then_the_stem_then_the_longest_word) {
  const Folder folder;
  const std::string mapping = folder.write("map.json", R"({
    "_comment": 7,
    "flux": "word.safetensors",
    "flux-dev": ["longer.safetensors", "second.safetensors:0.25"],
    "my-flux-dev": "stem.safetensors",
    "my-flux-dev.safetensors": "name.safetensors",
    "never": "never.safetensors"
  })");
  LoraChoice choice({}, mapping, std::nullopt);
  BOOST_TEST(chosen(choice, "x/my-flux-dev.safetensors") == "name.safetensors");
  BOOST_TEST(chosen(choice, "my-flux-dev.sft") == "stem.safetensors");
  BOOST_TEST(chosen(choice, "your-flux-dev_2.safetensors") == "longer.safetensors second.safetensors:0.25");
  BOOST_TEST(chosen(choice, "flux.schnell.safetensors") == "word.safetensors");
  BOOST_TEST(chosen(choice, "a_flux.safetensors") == "word.safetensors");
  BOOST_TEST(chosen(choice, "fluxing.safetensors") == "");
  BOOST_TEST(chosen(choice, "reflux-flux2.safetensors") == "");
  BOOST_TEST(choice.unused() == std::vector<std::string>{"never"}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_folder_holds_loras_by_the_models_name) {
  const Folder folder;
  folder.write("a.safetensors", "");
  folder.write("a_lora.safetensors", "");
  folder.write("b_lora.safetensors", "");
  const std::string mapping = folder.write("map.json", R"({"c": ["x.safetensors", "./y.safetensors"]})");
  LoraChoice choice({}, mapping, folder.path());
  BOOST_TEST(choice.of("m/a.safetensors").at(0).path == folder.path("a.safetensors"));
  BOOST_TEST(chosen(choice, "b.safetensors") == "b_lora.safetensors");
  BOOST_TEST(choice.of("c.safetensors").at(0).path == folder.path("x.safetensors"));
  BOOST_TEST(choice.of("c.safetensors").at(1).path == "./y.safetensors");
  BOOST_TEST(chosen(choice, "d.safetensors") == "");
}

BOOST_AUTO_TEST_CASE(names_without_a_folder_lie_beside_the_mapping) {
  const Folder folder;
  LoraChoice choice({}, folder.write("map.json", R"({"a": "x.safetensors"})"), std::nullopt);
  BOOST_TEST(choice.of("a.safetensors").at(0).path == folder.path("x.safetensors"));
}

BOOST_AUTO_TEST_CASE(loras_for_every_model_win) {
  const Folder folder;
  LoraChoice choice({{"all.safetensors", 0.5}}, folder.write("map.json", R"({"a": "x"})"), std::nullopt);
  BOOST_TEST(chosen(choice, "a.safetensors") == "all.safetensors:0.50");
}

BOOST_AUTO_TEST_CASE(mappings_that_are_none) {
  const std::pair<const char*, const char*> cases[] = {
      {"{", "line 1"},
      {"[]", "object"},
      {"{\n\"a\": x}", "line 2"},
      {R"({"a": "x", "b": "y", "a": "z"})", "'a' is there twice"},
      {R"({"a": 1})", "'a' is 1"},
      {R"({"a": []})", "'a' is []"},
      {R"({"a": ["x", 1]})", "'a'"},
      {R"({"a": {"b": "x"}})", "'a'"},
      {R"({"": "x"})", "empty"},
  };
  for (const auto& [text, said] : cases) {
    BOOST_TEST_CONTEXT(text) {
      BOOST_CHECK_EXCEPTION(octavo::cli::parse_lora_mapping(text, "map.json"), Error,
                            [said = said](const Error& error) {
                              BOOST_TEST_MESSAGE(error.what());
                              return error.code() == ErrorCode::bad_input &&
                                     std::string(error.what()).find(said) != std::string::npos;
                            });
    }
  }
}

BOOST_AUTO_TEST_CASE(missing_files_and_folders) {
  const auto is_io = [](const Error& error) { return error.code() == ErrorCode::io; };
  BOOST_CHECK_EXCEPTION(LoraChoice({}, "/nowhere/map.json", std::nullopt), Error, is_io);
  BOOST_CHECK_EXCEPTION(LoraChoice({}, std::nullopt, "/nowhere"), Error, is_io);
}

BOOST_AUTO_TEST_SUITE_END()
