#include "plugin/model.hpp"

#include "fixture.hpp"

#include <boost/test/unit_test.hpp>

namespace octavo::plugin {
namespace {

using test::error_with;

struct Opened {
  Opened()
      : catalog(test::places({test::fixture("opinionated")})),
        model(test::open_only(catalog), test::services().host(), {}) {}
  Catalog catalog;
  Model model;
};

BOOST_AUTO_TEST_SUITE(model)

BOOST_FIXTURE_TEST_CASE(it_is_asked_about_headers, Opened) {
  BOOST_TEST(catalog.records().at(0).descriptor.flags == OCTAVO_MODEL_AUTO);
  const Header with({{"a.comfy_quant", OCTAVO_U8, {3}, 3}}, {{"kind", "some"}}, {});
  const Header without({{"b", OCTAVO_F32, {3, 4}, 48}, {"nonsense", OCTAVO_F32, {1}, 4}}, {}, {});
  BOOST_TEST(model.detect({with, "", 0}).score == 1000u);  // cut at the highest that means something
  BOOST_TEST(model.detect({with, "", 0}).reason == "some");
  BOOST_TEST(model.detect({without, "", 0}).score == 0u);
  const Classification made = model.classify({without, "part.", 17}, 0);
  BOOST_TEST(made.decision == OCTAVO_DECISION_HIGH_PRECISION);
  BOOST_TEST(made.rule == "3x4");
  BOOST_TEST(made.reason == "part.17");
  BOOST_CHECK_EXCEPTION(model.classify({without, "", 0}, 1), Error,
                        error_with(ErrorCode::failed, "the decision for 'nonsense' is 6"));
}

BOOST_FIXTURE_TEST_CASE(it_names_fold_targets, Opened) {
  const Header header({}, {}, {});
  BOOST_TEST(model.fold_target({header, "", 0}, "a") == "a.norm");
  BOOST_TEST(model.fold_target({header, "", 0}, "b") == "");
  BOOST_CHECK_EXCEPTION(model.fold_target({header, "", 0}, std::string(5000, 'k')), Error,
                        error_with(ErrorCode::usage, "the fold target's key is too long"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::plugin
