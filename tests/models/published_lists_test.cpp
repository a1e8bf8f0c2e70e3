// Every filter acts as its published list says: for each pattern of the list, and for no key that the list
// does not match.
#define BOOST_TEST_DYN_LINK
#include "published_lists.hpp"

#include "architectures.hpp"
#include "filter.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>

namespace octavo::test {
namespace {

bool matches(const std::vector<std::string>& patterns, const std::string& key) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return key.find(pattern) != std::string::npos; });
}

// What the published list says about a 2-D float weight. The original makes no difference between keeping and
// high precision but in its log; where both match, either is right.
bool agrees(const PublishedList& list, const std::string& key, octavo_decision decision) {
  if (matches(list.removed, key)) return decision == OCTAVO_DECISION_REMOVE;
  const bool kept = matches(list.kept, key);
  const bool high = matches(list.high_precision, key);
  if (decision == OCTAVO_DECISION_KEEP) return kept;
  if (decision == OCTAVO_DECISION_HIGH_PRECISION) return high;
  return decision == OCTAVO_DECISION_QUANTIZE && !kept && !high;
}

void check_pattern(const Filter& filter, const std::string& pattern, octavo_decision expected) {
  // The pattern at the beginning of a component, at its end, and inside one.
  for (const char* form : {"a.%.b.weight", "a.x%.b.weight", "a.%x.b.weight", "a.x%x.b.weight"}) {
    std::string key = form;
    key.replace(key.find('%'), 1, pattern);
    const Verdict verdict = filter.classify({key, {256, 256}});
    BOOST_TEST(verdict.decision == expected,
               filter.id() << ": " << key << " is " << name(verdict.decision) << " by " << verdict.rule);
    BOOST_TEST(key.find(verdict.rule) != std::string::npos);
    BOOST_TEST(!verdict.reason.empty());
  }
}

// "Pattern" with every letter in the other case.
std::string other_case(std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') {
      c = static_cast<char>(c - 'a' + 'A');
    } else if (c >= 'A' && c <= 'Z') {
      c = static_cast<char>(c - 'A' + 'a');
    }
  }
  return text;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(published)

BOOST_AUTO_TEST_CASE(there_is_a_filter_for_every_list_and_no_other) {
  std::vector<std::string> listed = {"generic"};
  for (const auto& [id, list] : published_lists()) listed.push_back(id);
  std::sort(listed.begin(), listed.end());
  BOOST_TEST(filter_ids() == listed, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(every_pattern_has_its_effect) {
  for (const auto& [id, list] : published_lists()) {
    const Filter filter(library_of(id));
    for (const std::string& pattern : list.removed) check_pattern(filter, pattern, OCTAVO_DECISION_REMOVE);
    for (const std::string& pattern : list.kept) {
      if (!matches(list.removed, pattern)) check_pattern(filter, pattern, OCTAVO_DECISION_KEEP);
    }
    for (const std::string& pattern : list.high_precision) {
      if (!matches(list.kept, pattern)) check_pattern(filter, pattern, OCTAVO_DECISION_HIGH_PRECISION);
    }
  }
}

BOOST_AUTO_TEST_CASE(case_matters) {
  for (const auto& [id, list] : published_lists()) {
    const Filter filter(library_of(id));
    for (const auto* patterns : {&list.removed, &list.kept, &list.high_precision}) {
      for (const std::string& pattern : *patterns) {
        const Verdict verdict = filter.classify({other_case(pattern) + ".weight", {256, 256}});
        BOOST_TEST(verdict.decision == OCTAVO_DECISION_QUANTIZE, id << ": " << pattern);
      }
    }
  }
}

// All filters on all keys of all architectures, so that a pattern too many shows as well.
BOOST_AUTO_TEST_CASE(every_real_key_is_decided_as_the_list_says) {
  std::vector<Tensor> weights;
  for (const Architecture& architecture : all_architectures()) {
    for (const Tensor& tensor : architecture.tensors) {
      const bool layer = tensor.shape.size() == 2 && tensor.dtype != OCTAVO_U8 &&
                         (tensor.name.ends_with(".weight") || tensor.name.find("lora_") != std::string::npos);
      if (layer) weights.push_back(tensor);
    }
  }
  BOOST_TEST(weights.size() > 5000u);
  for (const auto& [id, list] : published_lists()) {
    const Filter filter(library_of(id));
    for (const Tensor& weight : weights) {
      const Verdict verdict = filter.classify(weight);
      if (!agrees(list, weight.name, verdict.decision))
        BOOST_ERROR(id << ": " << weight.name << " is " << name(verdict.decision) << " by " << verdict.rule);
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace octavo::test
