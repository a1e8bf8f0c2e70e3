// Which layers stay in high precision, with numbers that can be followed by hand.
#define BOOST_TEST_DYN_LINK
#include "plan/fragile.hpp"

#include "base/error.hpp"

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

namespace octavo::plan {
namespace {

// 10, 20, 30 and 40 dB, and one that loses nothing; in the order of the names the second is the worst.
const std::vector<MeasuredLayer> kLayers = {
    {"a", 1e-3, 1, 100}, {"b", 1e-1, 1, 400}, {"c", 1e-4, 1, 50}, {"d", 1e-2, 1, 300}, {"e", 0, 1, 10}};

std::string names(const FragileRequest& request, uint64_t file_bytes = 1000) {
  std::string text;
  for (const auto& [name, reason] : choose_fragile(request, kLayers, file_bytes).stay) text += name;
  return text;
}

FragileRequest worst(const std::string& text) { return {{}, parse_worst_share(text), {}}; }

}  // namespace

BOOST_AUTO_TEST_SUITE(fragile)

BOOST_AUTO_TEST_CASE(below_a_limit) {
  BOOST_TEST(names({25.0, {}, {}}) == "bd");
  BOOST_TEST(names({20.0, {}, {}}) == "b");  // the limit itself is good enough
  BOOST_TEST(names({5.0, {}, {}}) == "");
  BOOST_TEST(names({1000.0, {}, {}}) == "abcd");  // what loses nothing never stays
}

BOOST_AUTO_TEST_CASE(the_worst_ones) {
  BOOST_TEST(names(worst("1")) == "b");
  BOOST_TEST(names(worst("2")) == "bd");
  BOOST_TEST(names(worst("40%")) == "bd");
  BOOST_TEST(names(worst("1%")) == "b");  // at least one
  BOOST_TEST(names(worst("99")) == "abcd");
  BOOST_TEST(names({15.0, parse_worst_share("2"), {}}) == "bd");  // either reason is enough
}

BOOST_AUTO_TEST_CASE(as_many_as_fit) {
  BOOST_TEST(names({{}, {}, 1000}) == "");
  BOOST_TEST(names({{}, {}, 1400}) == "b");
  BOOST_TEST(names({{}, {}, 1399}) ==
             "cd");  // b does not fit; d (300) does, a (100) not any more, c (50) does
  BOOST_TEST(names({{}, {}, 1850}) == "abcd");
  BOOST_TEST(names({{}, parse_worst_share("1"), 1450}) == "bc");
  BOOST_TEST(choose_fragile({{}, {}, 1399}, kLayers, 1000).file_bytes == 1350u);
}

BOOST_AUTO_TEST_CASE(a_target_that_cannot_be_met) {
  const auto is_unsupported = [](const Error& error) { return error.code() == ErrorCode::unsupported; };
  BOOST_CHECK_EXCEPTION(names({{}, {}, 999}), Error, is_unsupported);
  BOOST_CHECK_EXCEPTION(names({{}, parse_worst_share("1"), 1399}), Error, is_unsupported);
}

BOOST_AUTO_TEST_CASE(equal_layers_go_by_their_names) {
  const std::vector<MeasuredLayer> equal = {{"y", 1, 10, 1}, {"x", 2, 20, 1}, {"z", 1, 10, 1}};
  const FragileChoice choice = choose_fragile(worst("2"), equal, 0);
  BOOST_TEST(choice.stay.contains("x"));
  BOOST_TEST(choice.stay.contains("y"));
  BOOST_TEST(choice.stay.size() == 2u);
  BOOST_TEST(choice.stay.at("x") == "10.00 dB, among the worst, --keep-worst 2");
}

BOOST_AUTO_TEST_CASE(shares_that_are_none) {
  for (const char* text : {"", "%", "0", "0%", "100%", "-1", "1.5", "5 %", "x", "5%%", "nan", "inf"}) {
    BOOST_TEST_CONTEXT(text) {
      BOOST_CHECK_EXCEPTION(parse_worst_share(text), Error,
                            [](const Error& error) { return error.code() == ErrorCode::usage; });
    }
  }
  BOOST_TEST(parse_worst_share("2.5%").of(40) == 1u);
  BOOST_TEST(parse_worst_share("7").of(3) == 3u);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace octavo::plan
