// Parsing a command line by a table of options.
#include "options.hpp"

#include "base/error.hpp"
#include "program.hpp"
#include "unit/temporary_folder.hpp"

#include <boost/test/unit_test.hpp>

#include <cstdlib>
#include <filesystem>

using namespace octavo;
using namespace octavo::cli;
using octavo::test::ErrorWith;

namespace {

const std::vector<Option>& table() {
  static const std::vector<Option> options = {
      {.name = "input", .letter = 'i', .value = "FILE"},  // the positional, by its name
      {.name = "output", .letter = 'o', .value = "PATH"},
      {.name = "max-ram", .value = "SIZE"},
      {.name = "damping", .value = "NUMBER"},
      {.name = "seed", .value = "N", .environment = "OCTAVO_TEST_SEED"},
      {.name = "model", .value = "ID", .repeats = true},
      {.name = "merge-loras", .value = "FILE", .many = true},
      {.name = "merge-lora-dampen", .negatable = true},
      {.name = "color", .value = "WHEN", .choices = {"auto", "always", "never"}},
      {.name = "dry-run", .value = "WHAT", .choices = {"analyze", "create-template"}, .bare = "analyze"},
      {.name = "force", .letter = 'f'},
      {.name = "quiet", .letter = 'q'},
      {.name = "full-precision-matrix-mult", .also = {{"-fpmm"}}},
      {.name = "verbose",
       .value = "LEVEL",
       .choices = {"normal", "verbose", "debug"},
       .bare = "verbose",
       .also = {{"-v"}, {"-vv", "debug"}}},
  };
  return options;
}

Arguments parse(const std::vector<std::string>& tokens) {
  return parse_options(table(), {"input", "IN", 0, 2, {}}, tokens);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(options)

BOOST_AUTO_TEST_CASE(underscores_and_hyphens_in_names_only) {
  BOOST_TEST(*parse({"--max_ram", "8G"}).size("max-ram") == uint64_t{8} << 30);
  BOOST_TEST(*parse({"--max-ram=11GB"}).size("max-ram") == 11'000'000'000u);
  BOOST_TEST(*parse({"--output=a_b-c"}).text("output") == "a_b-c");
  BOOST_TEST(*parse({"--output", "a_b"}).text("output") == "a_b");
  BOOST_TEST(*parse({"--output=x=y_z"}).text("output") == "x=y_z");
  BOOST_TEST(parse({"a_b"}).texts("input")[0] == "a_b");
}

BOOST_AUTO_TEST_CASE(forms_of_values) {
  BOOST_TEST(*parse({"-o", "x"}).text("output") == "x");
  BOOST_TEST(*parse({"-ox"}).text("output") == "x");
  BOOST_TEST(*parse({"--out", "x"}).text("output") == "x");  // the only one that begins so
  BOOST_TEST(*parse({"--seed", "-1"}).integer("seed", -1, 10) == -1);
  BOOST_TEST(*parse({"--output", "x", "--output", "y"}).text("output") == "y");
  BOOST_TEST(parse({"--model", "a", "--model", "b"}).texts("model").size() == 2u);
  BOOST_TEST(parse({"--merge-loras", "a", "b", "-f", "in"}).texts("merge-loras").size() == 2u);
  BOOST_TEST(parse({"--merge-loras", "a", "b", "-f", "in"}).texts("input")[0] == "in");
  BOOST_TEST(parse({"--", "--force"}).texts("input")[0] == "--force");
}

BOOST_AUTO_TEST_CASE(switches) {
  BOOST_TEST(parse({}).flag("force") == false);
  BOOST_TEST(parse({"-f"}).flag("force") == true);
  BOOST_TEST(parse({"--force=false"}).flag("force", true) == false);
  BOOST_TEST(parse({"--no-merge_lora_dampen"}).flag("merge-lora-dampen", true) == false);
  BOOST_TEST(parse({"--merge-lora-dampen=False"}).flag("merge-lora-dampen", true) == false);
  BOOST_TEST(parse({"--merge-lora-dampen=1"}).flag("merge-lora-dampen") == true);
  BOOST_TEST(parse({"--no-merge-lora-dampen", "--merge-lora-dampen"}).flag("merge-lora-dampen") == true);
  BOOST_TEST(parse({"-qq"}).count("quiet") == 2);
  BOOST_TEST(parse({"-q", "--quiet"}).count("quiet") == 2);
  BOOST_TEST(parse({"-fpmm"}).flag("full-precision-matrix-mult"));
}

BOOST_AUTO_TEST_CASE(values_that_may_be_left_out) {
  BOOST_TEST(*parse({"--dry-run"}).text("dry-run") == "analyze");
  BOOST_TEST(*parse({"--dry-run", "create-template"}).text("dry-run") == "create-template");
  const Arguments arguments = parse({"--dry-run", "in"});
  BOOST_TEST(*arguments.text("dry-run") == "analyze");
  BOOST_TEST(arguments.texts("input")[0] == "in");
  BOOST_TEST(*parse({"-v", "in"}).text("verbose") == "verbose");
  BOOST_TEST(*parse({"-vv"}).text("verbose") == "debug");
  BOOST_TEST(*parse({"--verbose", "DEBUG"}).text("verbose") == "debug");
}

BOOST_AUTO_TEST_CASE(wrong_command_lines) {
  const auto refused = [](const std::vector<std::string>& tokens, const std::string& text) {
    BOOST_TEST_CONTEXT(text) {
      BOOST_CHECK_EXCEPTION(parse(tokens), Error, (ErrorWith{ErrorCode::usage, text}));
    }
  };
  refused({"--fource"}, "no option '--fource'");
  refused({"-x"}, "-x");
  refused({"--merge-lora", "x"}, "beginning of several options");
  refused({"--output"}, "missing");
  refused({"--color", "blue"}, "'blue' is not one of auto, always, never");
  refused({"--force=maybe"}, "neither true nor false");
  refused({"a", "b", "c"}, "'c' is one argument too many");
  refused({"a", "b", "--input", "c"}, "'c' is one argument too many");
  BOOST_CHECK_EXCEPTION(parse({"--seed", "1x"}).integer("seed", 0, 9), Error,
                        (ErrorWith{ErrorCode::usage, "'1x' is not a whole number from 0 to 9"}));
  BOOST_CHECK_EXCEPTION(parse({"--seed", "10"}).integer("seed", 0, 9), Error,
                        (ErrorWith{ErrorCode::usage, "'10' is not a whole number"}));
  BOOST_CHECK_EXCEPTION(parse({"--damping", "nan"}).number("damping", 0, 1), Error,
                        (ErrorWith{ErrorCode::usage, "'nan' is not a number"}));
  BOOST_CHECK_EXCEPTION(parse({"--max-ram", "8X"}).size("max-ram"), Error,
                        (ErrorWith{ErrorCode::usage, "--max-ram: \"8X\" is not a size"}));
  BOOST_CHECK_EXCEPTION(
      parse({"--max-ram", "0"}).size("max-ram"), Error,
      (ErrorWith{ErrorCode::usage, "--max-ram: '0' is too small; expected at least 1 byte"}));
  BOOST_CHECK_EXCEPTION(parse({"--max-ram", "4095"}).size("max-ram", 4096), Error,
                        (ErrorWith{ErrorCode::usage, "'4095' is too small; expected at least 4096 bytes"}));
  BOOST_CHECK_THROW(parse({}).text("not-declared"), std::logic_error);
  try {
    parse({"--fource"});
  } catch (const Error& error) {
    BOOST_TEST(error.hint() == "did you mean --force?");
  }
}

BOOST_AUTO_TEST_CASE(environment_is_for_what_is_not_given) {
  setenv("OCTAVO_TEST_SEED", "7", 1);
  BOOST_TEST(*parse({}).integer("seed", 0, 9) == 7);
  BOOST_TEST(*parse({"--seed", "3"}).integer("seed", 0, 9) == 3);
  unsetenv("OCTAVO_TEST_SEED");
  BOOST_TEST(!parse({}).has("seed"));
}

BOOST_AUTO_TEST_CASE(global_options_before_the_command) {
  const auto outcome = test::run({"--color", "never", "--json", "plugins"});
  BOOST_TEST(outcome.code == 0);
  BOOST_TEST(outcome.json()["schema"] == "octavo.plugins/1");
}

BOOST_AUTO_TEST_CASE(both_spellings_in_the_program) {
  for (const char* spelling : {"--header-only", "--header_only"}) {
    BOOST_TEST(test::run({"verify", "missing", spelling}).code == 5, spelling);
  }
}

BOOST_AUTO_TEST_CASE(other_names_of_the_program) {
  const test::TemporaryFolder folder;
  for (const char* name : {"convert_to_quant", "ctq"}) {
    std::filesystem::create_symlink(OCTAVO_PROGRAM, folder / name);
    const auto outcome = test::run({"--help"}, {}, folder / name);
    BOOST_TEST(outcome.out.find("Usage: octavo convert ") != std::string::npos, name);
  }
}

BOOST_AUTO_TEST_SUITE_END()
