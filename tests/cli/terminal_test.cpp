// Colours, and how numbers, durations and tables look.
#include "terminal.hpp"

#include "base/words.hpp"
#include "checkpoint_file.hpp"
#include "logging.hpp"
#include "program.hpp"
#include "table.hpp"

#include <boost/test/unit_test.hpp>

using namespace octavo::cli;
using octavo::test::Environment;

namespace {

bool has_color(const Environment& environment, const std::vector<std::string>& more = {}) {
  const octavo::test::TemporaryFolder folder;
  octavo::test::write_checkpoint(folder / "a.safetensors", {octavo::test::f32("a", {1}, {1})});
  std::vector<std::string> arguments = {"verify", folder / "a.safetensors"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return octavo::test::run(arguments, environment).out.find("\x1b[32m") != std::string::npos;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(terminal)

BOOST_AUTO_TEST_CASE(colors) {
  BOOST_TEST(!has_color({}));  // a file is no terminal
  BOOST_TEST(has_color({{"CLICOLOR_FORCE", "1"}}));
  BOOST_TEST(!has_color({{"CLICOLOR_FORCE", "0"}}));
  BOOST_TEST(!has_color({{"CLICOLOR_FORCE", "1"}, {"NO_COLOR", "1"}}));
  BOOST_TEST(has_color({{"CLICOLOR_FORCE", "1"}, {"NO_COLOR", ""}}));
  BOOST_TEST(has_color({{"NO_COLOR", "1"}}, {"--color", "always"}));
  BOOST_TEST(!has_color({{"CLICOLOR_FORCE", "1"}}, {"--color=never"}));
}

BOOST_AUTO_TEST_CASE(durations) {
  BOOST_TEST(format_duration(0.34) == "340 ms");
  BOOST_TEST(format_duration(0.9996) == "1.0 s");
  BOOST_TEST(format_duration(1.23) == "1.2 s");
  BOOST_TEST(format_duration(9.96) == "10 s");
  BOOST_TEST(format_duration(125) == "2 min 5 s");
  BOOST_TEST(format_duration(3 * 3600 + 20 * 60) == "3 h 20 min");
  BOOST_TEST(format_duration(-1) == "?");
}

BOOST_AUTO_TEST_CASE(shapes) {
  BOOST_TEST(octavo::shape_text({}) == "[]");
  BOOST_TEST(octavo::shape_text({768, 3072}) == "[768, 3072]");
}

BOOST_AUTO_TEST_CASE(tables) {
  Table table({{"name"}, {"size", Table::Align::right}, {"note"}});
  table.add({"\x1b[31mé\x1b[0m", "1", ""});
  table.add({"long name", "1000", "x"});
  BOOST_TEST(table.text("> ") ==
             "> name       size  note\n"
             "> \x1b[31mé\x1b[0m             1\n"
             "> long name  1000  x\n");
  BOOST_CHECK_THROW(table.add({"too few"}), std::logic_error);
}

BOOST_AUTO_TEST_CASE(controls) {
  BOOST_TEST(without_controls("a\x1b[2J\r\tb\n") == "a\\x1b[2J\\x0d\tb\n");
  BOOST_TEST(without_controls("\xc2\x9b"
                              "31m\x7f é") ==
             "\\xc2\x9b"
             "31m\\x7f é");
}

BOOST_AUTO_TEST_SUITE_END()
