#define BOOST_TEST_DYN_LINK
#include "plan/pattern.hpp"

#include "base/error.hpp"

#include <boost/test/unit_test.hpp>

namespace octavo::plan {
namespace {

bool search(const std::string& pattern, const std::string& key) {
  return Pattern(pattern, "test").search(key);
}

bool full_match(const std::string& pattern, const std::string& key) {
  return Pattern(pattern, "test").full_match(key);
}

std::string refusal(const std::string& pattern) {
  try {
    const Pattern made(pattern, "--exclude-layers");
  } catch (const Error& error) {
    BOOST_TEST((error.code() == ErrorCode::usage));
    return error.what();
  }
  return {};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(pattern)

// Each result is what Python 3.11's `re` gives.
BOOST_AUTO_TEST_CASE(means_what_it_means_in_python) {
  BOOST_TEST(search("attn", "blocks.1.attn.q"));
  BOOST_TEST(!search("^attn", "blocks.1.attn.q"));
  BOOST_TEST(search(R"(blocks\.\d+\.)", "blocks.17.attn"));
  BOOST_TEST(search("(?<=blocks\\.)1\\.", "blocks.1.attn"));
  BOOST_TEST(!search("(?<!blocks\\.)1\\.", "blocks.1.attn"));
  BOOST_TEST(search("(?i)ATTN", "blocks.1.attn"));
  BOOST_TEST(!search("ATTN", "blocks.1.attn"));
  BOOST_TEST(search("(?P<side>[qk])_(?P=side)", "q_q"));
  BOOST_TEST(!search("(?P<side>[qk])_(?P=side)", "q_k"));
  BOOST_TEST(search(R"(\w+)", "\xC3\xA4"));       // a letter, not two bytes
  BOOST_TEST(search("^.$", "\xC3\xA4"));          // one character
  BOOST_TEST(search(R"(^\u00e4$)", "\xC3\xA4"));  // an escape of Python
  BOOST_TEST(search("q$", "q\n"));                // before a last newline
  BOOST_TEST(!search("q\\Z", "q\n"));             // the very end
  BOOST_TEST(full_match("a{,2}", "aa"));          // from nothing on
  BOOST_TEST(full_match("a{,2}", ""));
  BOOST_TEST(!full_match("a{,2}", "aaa"));
  BOOST_TEST(search("[{,2}]Z", "2Z"));         // a class of characters
  BOOST_TEST(full_match(R"(\{,2})", "{,2}"));  // an escaped brace is one
}

BOOST_AUTO_TEST_CASE(full_match_takes_the_whole_key) {
  BOOST_TEST(full_match("blocks.1", "blocks.1"));
  BOOST_TEST(!full_match("blocks.1", "blocks.10"));
  BOOST_TEST(full_match("a|ab", "ab"));  // the first alternative fits the beginning only
  BOOST_TEST(search("blocks.1", "blocks.10"));
}

BOOST_AUTO_TEST_CASE(a_wrong_pattern_is_refused_with_its_place) {
  BOOST_TEST(refusal("blocks.(attn").find("at byte 12") != std::string::npos);
  BOOST_TEST(refusal("a{,2}b(").find("at byte 7") != std::string::npos);
  BOOST_TEST(refusal("blocks.(attn").find("--exclude-layers") != std::string::npos);
  BOOST_TEST(refusal("").find("empty") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_search_without_end_is_an_error) {
  const Pattern pattern("^(a+)+$", "test");
  BOOST_CHECK_THROW(pattern.search(std::string(60, 'a') + "b"), Error);
}

BOOST_AUTO_TEST_CASE(rank_counts_the_characters_that_stand_for_themselves) {
  const auto expect = [](const char* pattern, int tier, size_t literals) {
    const PatternRank rank = rank_of(pattern);
    BOOST_TEST(rank.tier == tier, pattern);
    BOOST_TEST(rank.literals == literals, pattern << " has " << rank.literals);
  };
  expect("blocks.0.attn", 0, 11);
  expect(R"(blocks\.\d+\.attn)", 0, 10);
  expect(R"(blocks\.[0-9]+\.attn)", 1, 10);
  expect("(a|b)long_name", 1, 9);
  expect("((a|b)c)x", 1, 1);
  expect("attn1", 1, 5);          // a digit, but fewer than 8 literals
  expect("blocks_a{2,3}", 1, 8);  // a count is none
  expect("[]a]bc", 1, 2);
  expect("^final_proj$", 1, 10);
}

BOOST_AUTO_TEST_CASE(the_lower_tier_wins_then_the_longer_text) {
  BOOST_TEST(is_closer({0, 8}, {1, 40}));
  BOOST_TEST(is_closer({1, 9}, {1, 8}));
  BOOST_TEST(!is_closer({1, 8}, {1, 8}));
}

BOOST_AUTO_TEST_CASE(nearest_keys_are_found_for_a_misspelt_one) {
  const std::vector<std::string> keys = {"blocks.0.attn.q", "blocks.0.mlp", "final"};
  BOOST_TEST(nearest_keys(R"(^blocks\.0\.atn\.q$)", keys) == std::vector<std::string>{"blocks.0.attn.q"},
             boost::test_tools::per_element());
  const std::vector<std::string> both = {"blocks.0.attn.q", "blocks.0.mlp"};
  BOOST_TEST(nearest_keys(R"(blocks\.0\.feed_forward_network)", keys) == both,
             boost::test_tools::per_element());
  BOOST_TEST(nearest_keys("zz", keys).empty());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace octavo::plan
