#include "plugin/params.hpp"

#include "fixture.hpp"
#include "plugin/spelling.hpp"

#include <boost/test/unit_test.hpp>

#include <cmath>

namespace octavo::plugin {
namespace {

using test::error_with;

const Descriptor kDescriptor = {
    OCTAVO_KIND_OPTIMIZER,
    "tuned",
    "1",
    "a test",
    "",
    0,
    1,
    0,
    {{"damp", OCTAVO_PARAM_NUMBER, "0.01", 0, 1, {}, "how much"},
     {"rounds", OCTAVO_PARAM_INTEGER, "3", -5, 10, {}, "how often"},
     {"fast", OCTAVO_PARAM_BOOL, "false", 0, 1, {}, "or slow"},
     {"order", OCTAVO_PARAM_CHOICE, "first", 0, 0, {"first", "last"}, "which one"},
     {"note", OCTAVO_PARAM_TEXT, "", 0, 0, {}, "anything"}}};

Values resolved(const std::vector<Assignment>& assignments) { return resolve(kDescriptor, assignments); }

BOOST_AUTO_TEST_SUITE(params)

BOOST_AUTO_TEST_CASE(a_selection_is_an_id_and_assignments) {
  const Selection plain = parse_selection("tuned", "--optimizer");
  BOOST_TEST(plain.id == "tuned");
  BOOST_TEST(plain.assignments.empty());
  const Selection made = parse_selection("my-plugin:damp=0.5,act-order=a=b", "--optimizer");
  BOOST_TEST(made.id == "my_plugin");
  BOOST_REQUIRE_EQUAL(made.assignments.size(), 2u);
  BOOST_TEST(made.assignments[0].name == "damp");
  BOOST_TEST(made.assignments[0].value == "0.5");
  BOOST_TEST(made.assignments[1].name == "act_order");
  BOOST_TEST(made.assignments[1].value == "a=b");
}

BOOST_AUTO_TEST_CASE(a_selection_that_is_none_is_an_error_of_usage) {
  for (const char* wrong : {"", ":a=1", "tuned:", "tuned:damp", "tuned:=1", "tuned:damp=1,,fast=1"}) {
    BOOST_CHECK_EXCEPTION(parse_selection(wrong, "--optimizer"), Error,
                          error_with(ErrorCode::usage, "--optimizer"));
  }
}

BOOST_AUTO_TEST_CASE(a_setting_names_plugin_and_parameter) {
  const Setting made = parse_setting("tuned.damp=0.5,x.y=z");
  BOOST_TEST(made.id == "tuned");
  BOOST_TEST(made.assignment.name == "damp");
  BOOST_TEST(made.assignment.value == "0.5,x.y=z");
  for (const char* wrong : {"", "tuned", "tuned.damp", "damp=1", ".damp=1", "tuned.=1", "damp=1.5"})
    BOOST_CHECK_EXCEPTION(parse_setting(wrong), Error, error_with(ErrorCode::usage, "id.parameter=value"));
}

BOOST_AUTO_TEST_CASE(values_come_in_the_order_of_the_declaration) {
  const Values values = resolved({{"order", "last"}, {"damp", "1e-3"}, {"fast", "on"}, {"rounds", "-5"}});
  const auto raw = boundary_values(values);
  BOOST_REQUIRE_EQUAL(raw.size(), 5u);
  BOOST_TEST(std::string(raw[0].name) == "damp");
  BOOST_TEST(raw[0].number == 1e-3);
  BOOST_TEST(std::string(raw[0].text) == "1e-3");
  BOOST_TEST(raw[1].integer == -5);
  BOOST_TEST(raw[2].integer == 1);
  BOOST_TEST(std::string(raw[3].text) == "last");
  BOOST_TEST(std::string(raw[4].text) == "");
}

BOOST_AUTO_TEST_CASE(the_last_assignment_counts) {
  BOOST_TEST(resolved({{"rounds", "1"}, {"rounds", "2"}})[1].integer == 2);
}

BOOST_AUTO_TEST_CASE(changed_values_are_those_that_differ_from_their_defaults) {
  BOOST_TEST(changed_values(kDescriptor, resolved({})) == "");
  BOOST_TEST(changed_values(kDescriptor, resolved({{"damp", "1e-2"}, {"fast", "no"}})) == "");
  BOOST_TEST(changed_values(kDescriptor, resolved({{"note", "x"}, {"rounds", "4"}})) == "rounds=4,note=x");
}

BOOST_AUTO_TEST_CASE(an_unknown_parameter_names_the_closest) {
  BOOST_CHECK_EXCEPTION(
      resolved({{"dmap", "1"}}), Error,
      error_with(ErrorCode::usage, "optimizer 'tuned' has no parameter 'dmap'; did you mean 'damp'?"));
  BOOST_CHECK_EXCEPTION(
      resolve({OCTAVO_KIND_FORMAT, "bare", "1", "s", "", 0, 1, 0, {}}, std::vector<Assignment>{{"a", "1"}}),
      Error, error_with(ErrorCode::usage, "has no parameter 'a'; it has none"));
}

BOOST_AUTO_TEST_CASE(a_wrong_value_says_what_is_allowed) {
  const auto refused = [](const Assignment& assignment, const std::string& text) {
    BOOST_CHECK_EXCEPTION(resolved({assignment}), Error, error_with(ErrorCode::usage, text));
  };
  refused({"damp", "1.5"}, "'damp' is '1.5', a number from 0 to 1 was expected (optimizer 'tuned')");
  refused({"damp", "nan"}, "a number from 0 to 1");
  refused({"damp", "inf"}, "a number from 0 to 1");
  refused({"damp", ""}, "a number from 0 to 1");
  refused({"damp", "0.5x"}, "a number from 0 to 1");
  refused({"damp", "0,5"}, "a number from 0 to 1");
  refused({"rounds", "11"}, "an integer from -5 to 10");
  refused({"rounds", "2.0"}, "an integer from -5 to 10");
  refused({"rounds", "99999999999999999999"}, "an integer from -5 to 10");
  refused({"fast", "maybe"}, "true or false");
  refused({"order", "First"}, "one of first, last");
  refused({"note", std::string("a\0b", 3)}, "text was expected");
}

BOOST_AUTO_TEST_CASE(numbers_may_have_a_sign) {
  BOOST_TEST(resolved({{"rounds", "+4"}})[1].integer == 4);
  BOOST_CHECK_EXCEPTION(resolved({{"rounds", "+-4"}}), Error, error_with(ErrorCode::usage, "an integer"));
}

BOOST_AUTO_TEST_CASE(the_closest_name_is_near) {
  const std::vector<std::string> known = {"nearest", "gptq", "quip", "adaptive"};
  BOOST_TEST(closest_name("neares", known) == "nearest");
  BOOST_TEST(closest_name("gtpq", known) == "gptq");  // neighbours swapped: one step
  BOOST_TEST(closest_name("adaptative", known) == "adaptive");
  BOOST_TEST(closest_name("convolution", known) == "");
  BOOST_TEST(closest_name("", known) == "");
  BOOST_TEST(closest_name("qq", known) == "");  // two of four letters are another word
  BOOST_TEST(closest_name("gptqxy", known) == "gptq");
  BOOST_TEST(closest_name("gptqxyz", known) == "gptq");
  BOOST_TEST(closest_name("x", std::vector<std::string>{"y"}) == "");
  BOOST_TEST(closest_name(std::string(1000, 'n'), known) == "");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::plugin
