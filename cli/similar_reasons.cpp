#include "similar_reasons.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>

namespace octavo::cli {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_of_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// How many characters at `at` are a number that stands by itself; 0 if there is none.
size_t number_at(std::string_view text, size_t at, double& value) {
  if (!is_digit(text[at]) || (at > 0 && (is_of_word(text[at - 1]) || text[at - 1] == '.'))) return 0;
  const char* const begin = text.data() + at;
  const char* const end = text.data() + text.size();
  const auto [after, failure] = std::from_chars(begin, end, value);
  if (failure != std::errc() || (after != end && is_of_word(*after))) return 0;
  return static_cast<size_t>(after - begin);
}

SimilarReasons::Group split(std::string_view reason) {
  SimilarReasons::Group group;
  group.words.emplace_back();
  for (size_t at = 0; at < reason.size();) {
    double value = 0;
    const size_t length = number_at(reason, at, value);
    if (length == 0) {
      group.words.back() += reason[at++];
      continue;
    }
    const std::string text(reason.substr(at, length));
    group.numbers.push_back({value, value, text, text});
    group.words.emplace_back();
    at += length;
  }
  return group;
}

void widen(SimilarReasons::Number& range, const SimilarReasons::Number& one) {
  if (one.least < range.least) {
    range.least = one.least;
    range.least_text = one.least_text;
  }
  if (one.most > range.most) {
    range.most = one.most;
    range.most_text = one.most_text;
  }
}

}  // namespace

std::string SimilarReasons::Group::text() const {
  std::string made = words.front();
  for (size_t i = 0; i < numbers.size(); ++i) {
    const Number& number = numbers[i];
    made += number.least == number.most ? number.least_text
                                        : fmt::format("{} to {}", number.least_text, number.most_text);
    made += words[i + 1];
  }
  return made;
}

void SimilarReasons::add(std::string_view reason, const std::string& name) {
  Group one = split(reason);
  const auto same = std::find_if(groups_.begin(), groups_.end(),
                                 [&](const Group& group) { return group.words == one.words; });
  if (same == groups_.end()) {
    one.count = 1;
    one.first = name;
    groups_.push_back(std::move(one));
    return;
  }
  ++same->count;
  for (size_t i = 0; i < one.numbers.size(); ++i) widen(same->numbers[i], one.numbers[i]);
}

}  // namespace octavo::cli
