#include "feedback/settings.hpp"

#include "feedback/factor.hpp"

#include <boost/test/unit_test.hpp>

namespace octavo::feedback {
namespace {

BOOST_AUTO_TEST_SUITE(settings)

BOOST_AUTO_TEST_CASE(damping_is_a_rule_or_a_number) {
  Settings settings;
  set_damping(settings, "auto");
  BOOST_CHECK(settings.damping_rule == DampingRule::by_samples);
  set_damping(settings, "search");
  BOOST_CHECK(settings.damping_rule == DampingRule::search);
  set_damping(settings, "0.05");
  BOOST_CHECK(settings.damping_rule == DampingRule::fixed);
  BOOST_TEST(settings.damping == 0.05);
  for (const char* wrong : {"", "0", "-1", "1e9", "nan", "0.1x", "much"})
    BOOST_CHECK_EXCEPTION(set_damping(settings, wrong), PluginError, [](const PluginError& error) {
      return error.status() == OCTAVO_BAD_ARGUMENT &&
             std::string(error.what()).find("expected auto, search") != std::string::npos;
    });
}

BOOST_AUTO_TEST_CASE(damping_follows_samples_and_columns) {
  Settings settings;
  BOOST_TEST(damping_of(settings, 400, 100) == 0.01);
  BOOST_TEST(damping_of(settings, 399, 100) == 0.1);
  BOOST_TEST(damping_of(settings, 50, 100) == 0.1);
  BOOST_TEST(damping_of(settings, 49, 100) == 1.0);
  set_damping(settings, "0.3");
  BOOST_TEST(damping_of(settings, 1, 100) == 0.3);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::feedback
