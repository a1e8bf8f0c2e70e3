// Help: examples first, the long tail on request, and nothing in it that does not work.
#include "help.hpp"

#include "command.hpp"
#include "program.hpp"

#include <octavo/abi/plugin.h>

#include <boost/test/unit_test.hpp>

#include <filesystem>
#include <regex>
#include <set>
#include <sstream>

using namespace octavo::cli;
using octavo::test::Outcome;

namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// The words of an example after "octavo COMMAND", up to a redirection.
std::vector<std::string> words_of(const std::string& example) {
  std::vector<std::string> words;
  std::istringstream stream(example);
  for (std::string word; stream >> word && word != ">";) words.push_back(word);
  words.erase(words.begin(), words.begin() + 2);
  return words;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(help)

BOOST_AUTO_TEST_CASE(examples_come_first) {
  for (const Command& command : commands()) {
    BOOST_TEST_CONTEXT(command.name) {
      const Outcome outcome = octavo::test::run({command.name, "--help"});
      BOOST_TEST(outcome.code == 0);
      BOOST_TEST(outcome.error == "");
      const auto lines = lines_of(outcome.out);
      BOOST_REQUIRE(lines.size() > 5);
      BOOST_TEST(lines[0] == "Examples:");
      for (size_t i = 1; i <= 3; ++i) BOOST_TEST(lines[i].starts_with("  octavo "));
      BOOST_TEST(lines[4] == "");
      BOOST_TEST(lines[5].starts_with("Usage: octavo " + command.name));
    }
  }
}

BOOST_AUTO_TEST_CASE(examples_can_be_typed) {
  for (const Command& command : commands()) {
    for (const Example& example : command.examples) {
      BOOST_TEST_CONTEXT(example.command) {
        BOOST_TEST(example.command.starts_with("octavo "));
        if (!example.command.starts_with("octavo " + command.name)) continue;
        BOOST_CHECK_NO_THROW(
            parse_options(all_options(command), command.positional, words_of(example.command)));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(every_option_is_explained_and_unique) {
  for (const Command& command : commands()) {
    std::set<std::string> names;
    for (const Option& option : all_options(command)) {
      BOOST_TEST_CONTEXT(command.name + " --" + option.name) {
        BOOST_TEST(!option.help.empty());
        BOOST_TEST(option.name.find('_') == std::string::npos);
        BOOST_TEST(names.insert(option.name).second);
        if (option.letter != 0) BOOST_TEST(names.insert(std::string(1, option.letter)).second);
        for (const Spelling& spelling : option.also) BOOST_TEST(names.insert(spelling.text).second);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(the_tail_is_shown_on_request) {
  const Outcome some = octavo::test::run({"verify", "--help"});
  const Outcome all = octavo::test::run({"verify", "--help-all"});
  BOOST_TEST(some.out.find("--explain") != std::string::npos);
  BOOST_TEST(some.out.find("--plugin-path") == std::string::npos);
  BOOST_TEST(all.out.find("--plugin-path") != std::string::npos);
  BOOST_TEST(all.out.find("OCTAVO_SIMD") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(help_wins_over_a_wrong_command_line) {
  const Outcome outcome = octavo::test::run({"verify", "--no-such-option", "-h"});
  BOOST_TEST(outcome.code == 0);
  BOOST_TEST(outcome.out.starts_with("Examples:"));
}

BOOST_AUTO_TEST_CASE(the_program) {
  const Outcome outcome = octavo::test::run({"--help"});
  BOOST_TEST(outcome.code == 0);
  for (const Command& command : commands()) {
    BOOST_TEST(outcome.out.find("\n  " + command.name + " ") != std::string::npos, command.name);
  }
  BOOST_TEST(octavo::test::run({"help"}).out == outcome.out);
  BOOST_TEST(octavo::test::run({"--version"}).out == "octavo " OCTAVO_VERSION "\n");
}

BOOST_AUTO_TEST_CASE(which_octavo) {
  using octavo::test::run;
  const auto document = run({"version", "--json"}, {{"OCTAVO_SIMD", "scalar"}}).json();
  BOOST_TEST(document["schema"] == "octavo.version/1");
  BOOST_TEST(document["version"] == OCTAVO_VERSION);
  BOOST_TEST(document["compiler"].get<std::string>().find(__VERSION__) != std::string::npos);
  BOOST_TEST(document["boundary"] ==
             std::to_string(OCTAVO_ABI_MAJOR) + "." + std::to_string(OCTAVO_ABI_MINOR));
  BOOST_TEST(document["simd"] == "no vector instructions");
  BOOST_TEST(run({"version", "--json"}, {{"OCTAVO_SIMD", "no such"}}).json()["simd"].is_null());
  if (!document["commit"].is_null())
    BOOST_TEST(std::regex_match(document["commit"].get<std::string>(), std::regex("[0-9a-f]{40,64}")));
  BOOST_TEST(document["plugin_folders"].size() == 1u);
  BOOST_TEST(run({"--version", "--json"}, {{"OCTAVO_SIMD", "scalar"}}).json() == document);
  const std::string more = OCTAVO_TEST_PLUGINS;
  for (const char* how : {"version", "--version"}) {
    const auto folders = run({how, "--json", "--plugin-path", more}).json()["plugin_folders"];
    BOOST_REQUIRE(folders.size() == 2u);
    BOOST_TEST(std::filesystem::equivalent(folders[0].get<std::string>(), more));
  }
  BOOST_TEST(run({"version"}).out.starts_with("octavo " OCTAVO_VERSION "\n"));
  BOOST_TEST(run({"--version", "--json", "--no-such"}).code == 2);
}

BOOST_AUTO_TEST_CASE(one_section) {
  const Command command{.name = "x", .summary = "s", .options = [] {
                          return std::vector<Option>{{.name = "one", .help = "first", .group = "A"},
                                                     {.name = "two", .help = "second", .group = "B"}};
                        }};
  const std::string text = section_help(command, {"B"});
  BOOST_TEST(text.starts_with("B:\n"));
  BOOST_TEST(text.find("--two") != std::string::npos);
  BOOST_TEST(text.find("--one") == std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
