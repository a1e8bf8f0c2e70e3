#define BOOST_TEST_DYN_LINK
#include "plan/user_rules.hpp"

#include "header_file.hpp"

#include <boost/test/unit_test.hpp>

namespace octavo::plan {
namespace {

ConfiguredLayers entry(const std::string& pattern) {
  ConfiguredLayers made;
  made.name = pattern;
  if (pattern != "_default") made.pattern = Pattern(pattern, "test");
  return made;
}

// Which entry of the config each key gets, in the order of the names (which is ascending).
std::vector<std::ptrdiff_t> entries(const std::vector<std::string>& patterns,
                                    const std::vector<std::string>& names, bool full_match = false) {
  LayerRules rules;
  rules.full_match = full_match;
  for (const std::string& pattern : patterns) rules.config.push_back(entry(pattern));
  const auto source = test::checkpoint_with(names);
  const UserRules user(rules, source);
  std::vector<std::ptrdiff_t> found;
  for (size_t i = 0; i < names.size(); ++i) found.push_back(user.config_entry(i));
  return found;
}

void expect(const std::vector<std::ptrdiff_t>& found, const std::vector<std::ptrdiff_t>& expected) {
  BOOST_TEST(found == expected, boost::test_tools::per_element());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(user_rules)

BOOST_AUTO_TEST_CASE(the_closest_entry_wins_then_the_first) {
  const std::vector<std::string> names = {"blocks.0.attn.weight", "blocks.1.attn.weight", "other.weight"};
  expect(entries({R"(blocks\.\d+\.attn)", "blocks.0.attn"}, names), {1, 0, -1});
  expect(entries({"attn", "blocks"}, names), {1, 1, -1});
  expect(entries({"bloc", "attn"}, names), {0, 0, -1});  // as many literals: file order
  expect(entries({"_default", "attn"}, names), {1, 1, 0});
  expect(entries({"weight"}, names), {-1, -1, -1});  // the ending is not looked at
}

BOOST_AUTO_TEST_CASE(fullmatch_takes_whole_names) {
  const std::vector<std::string> names = {"blocks.1.weight", "blocks.10.weight"};
  expect(entries({R"(blocks\.1)"}, names, true), {0, -1});
  expect(entries({R"(blocks\.1)"}, names), {0, 0});
}

BOOST_AUTO_TEST_CASE(custom_and_excluded_are_searched_in_the_full_key) {
  LayerRules rules;
  rules.custom = CustomLayers{Pattern(R"(q\.weight$)", "test"), {}};
  rules.exclude = Pattern("^k", "test");
  const auto source = test::checkpoint_with({"k.weight", "q.weight"});
  const UserRules user(rules, source);
  BOOST_TEST(!user.is_custom(0));
  BOOST_TEST(user.is_custom(1));
  BOOST_TEST(user.is_excluded(0));
  BOOST_TEST(!user.is_excluded(1));
  BOOST_TEST(user.warnings().empty());
}

BOOST_AUTO_TEST_CASE(a_pattern_without_match_is_a_warning_with_the_nearest_key) {
  LayerRules rules;
  rules.exclude = Pattern(R"(^blocks\.0\.atn\.weight$)", "test");
  rules.config.push_back(entry("nothing_like_it"));
  // It does match, though another entry takes the layer.
  rules.config.push_back(entry("blocks"));
  rules.config.push_back(entry("blocks.0.attn"));
  const auto source = test::checkpoint_with({"blocks.0.attn.weight"});
  const UserRules user(rules, source);
  BOOST_REQUIRE(user.warnings().size() == 2);
  BOOST_TEST(user.warnings()[0].find("nothing_like_it") != std::string::npos);
  BOOST_TEST(user.warnings()[1].find("--exclude-layers") != std::string::npos);
  BOOST_TEST(user.warnings()[1].find("near it: blocks.0.attn.weight") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace octavo::plan
