// PCRE2 reads nearly everything as Python does. Three things are brought over: `\Z` (in Python the very end,
// in PCRE2 also before a last newline), `{,3}` (in Python from 0 on, in PCRE2 text), and `\uXXXX` (an
// option of PCRE2).
#define PCRE2_CODE_UNIT_WIDTH 8

#include "plan/pattern.hpp"

#include "base/error.hpp"
#include "plugin/spelling.hpp"

#include <pcre2.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace octavo::plan {
namespace {

constexpr std::size_t kNearest = 3;
constexpr std::size_t kShortestPiece = 3;  // of a key; shorter ones occur everywhere
constexpr std::size_t kCloseLiterals = 8;

bool is_digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }

// The index behind the `]` of the class that opens at `at`.
std::size_t end_of_class(std::string_view pattern, std::size_t at) {
  std::size_t i = at + 1;
  if (i < pattern.size() && pattern[i] == '^') ++i;
  if (i < pattern.size() && pattern[i] == ']') ++i;  // at the start it stands for itself
  while (i < pattern.size() && pattern[i] != ']') i += pattern[i] == '\\' ? 2 : 1;
  return std::min(i + 1, pattern.size());
}

// The index behind `{3}`, `{3,}`, `{,3}` or `{3,5}` at `at`; `at` itself where there is no count.
std::size_t end_of_count(std::string_view pattern, std::size_t at) {
  std::size_t i = at + 1;
  const auto digits = [&] {
    const std::size_t from = i;
    while (i < pattern.size() && is_digit(pattern[i])) ++i;
    return i > from;
  };
  bool some = digits();
  if (i < pattern.size() && pattern[i] == ',') {
    ++i;
    some = digits() || some;
  }
  return some && i < pattern.size() && pattern[i] == '}' ? i + 1 : at;
}

struct Translated {
  std::string text;
  std::vector<std::size_t> inserted;  // places of characters that the original does not have
};

Translated translate(std::string_view pattern) {
  Translated made;
  std::size_t i = 0;
  const auto copy = [&](std::size_t end) {
    made.text += pattern.substr(i, end - i);
    i = std::min(end, pattern.size());
  };
  while (i < pattern.size()) {
    if (pattern[i] == '\\') {
      const bool at_end = pattern.substr(i, 2) == "\\Z";
      copy(i + 2);
      if (at_end) made.text.back() = 'z';
    } else if (pattern[i] == '[') {
      copy(end_of_class(pattern, i));
    } else if (pattern.substr(i, 2) == "{," && end_of_count(pattern, i) != i) {
      copy(i + 1);
      made.inserted.push_back(made.text.size());
      made.text += '0';
    } else {
      copy(i + 1);
    }
  }
  return made;
}

std::size_t original_offset(const Translated& translated, std::size_t offset) {
  const auto before = std::count_if(translated.inserted.begin(), translated.inserted.end(),
                                    [&](std::size_t place) { return place < offset; });
  return offset - static_cast<std::size_t>(before);
}

std::string message_of(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

// What the scan of a pattern meets outside of brackets and groups.
struct Reading {
  std::size_t literals = 0;
  bool digit = false;
};

void read_escape(char escaped, Reading& reading) { reading.digit = reading.digit || escaped == 'd'; }

Reading read_literals(std::string_view pattern) {
  Reading reading;
  std::size_t depth = 0;
  for (std::size_t i = 0; i < pattern.size();) {
    const char c = pattern[i];
    const std::size_t count_end = c == '{' ? end_of_count(pattern, i) : i;
    if (c == '\\') {
      if (depth == 0 && i + 1 < pattern.size()) read_escape(pattern[i + 1], reading);
      i += 2;
    } else if (c == '[') {
      i = end_of_class(pattern, i);
    } else if (count_end != i) {
      i = count_end;
    } else {
      if (c == ')' && depth > 0) --depth;
      if (depth == 0 && std::string_view(".*+?^$|{}()").find(c) == std::string_view::npos) {
        ++reading.literals;
        reading.digit = reading.digit || is_digit(c);
      }
      if (c == '(') ++depth;
      ++i;
    }
  }
  return reading;
}

}  // namespace

struct Pattern::Program {
  explicit Program(pcre2_code* made) : code(made) {}
  ~Program() { pcre2_code_free(code); }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  pcre2_code* code;
};

Pattern::Pattern(std::string text, const std::string& origin) : text_(std::move(text)), origin_(origin) {
  if (text_.empty()) {
    throw Error(ErrorCode::usage, fmt::format("[layer rules] {}: the pattern is empty", origin),
                "an empty pattern would match every key; '.*' says so");
  }
  const Translated translated = translate(text_);
  int problem = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code = pcre2_compile(
      reinterpret_cast<PCRE2_SPTR>(translated.text.data()), translated.text.size(),
      PCRE2_UTF | PCRE2_UCP | PCRE2_ALT_BSUX | PCRE2_MATCH_INVALID_UTF, &problem, &offset, nullptr);
  if (code == nullptr) {
    throw Error(ErrorCode::usage,
                fmt::format("[layer rules] {}: '{}' is no regular expression, at byte {}: {}", origin,
                            printable(text_), original_offset(translated, offset), message_of(problem)));
  }
  program_ = std::make_shared<Program>(code);
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // where there is none, the interpreter does the same
}

bool Pattern::match(std::string_view key, unsigned options) const {
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
      pcre2_match_data_create(1, nullptr), &pcre2_match_data_free);
  const int result = pcre2_match(program_->code, reinterpret_cast<PCRE2_SPTR>(key.data()), key.size(), 0,
                                 options, data.get(), nullptr);
  if (result == PCRE2_ERROR_NOMATCH) return false;
  if (result < 0) {
    throw Error(ErrorCode::usage, fmt::format("[layer rules] {}: '{}' cannot be matched against '{}': {}",
                                              origin_, printable(text_), printable(key), message_of(result)));
  }
  return true;
}

bool Pattern::search(std::string_view key) const { return match(key, 0); }

bool Pattern::full_match(std::string_view key) const {
  return match(key, PCRE2_ANCHORED | PCRE2_ENDANCHORED);
}

PatternRank rank_of(std::string_view pattern) {
  const Reading reading = read_literals(pattern);
  return {reading.digit && reading.literals >= kCloseLiterals ? 0 : 1, reading.literals};
}

bool is_closer(const PatternRank& a, const PatternRank& b) {
  return a.tier != b.tier ? a.tier < b.tier : a.literals > b.literals;
}

std::string plain_text(std::string_view pattern) {
  std::string text;
  for (std::size_t i = 0; i < pattern.size();) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      if (std::isalnum(static_cast<unsigned char>(pattern[i + 1])) == 0) text += pattern[i + 1];
      i += 2;
    } else if (c == '[') {
      i = end_of_class(pattern, i);
    } else {
      if (std::string_view("*+?^$|{}()\\").find(c) == std::string_view::npos) text += c;
      ++i;
    }
  }
  return text;
}

std::vector<std::string> nearest_keys(std::string_view pattern, const std::vector<std::string>& keys) {
  std::vector<std::string> found;
  std::string text = plain_text(pattern);
  if (std::string closest = plugin::closest_name(text, keys); !closest.empty())
    found.push_back(std::move(closest));
  // Keys that hold what the pattern begins with: a misspelt ending is the usual mistake.
  for (; found.empty() && text.size() >= kShortestPiece; text.pop_back()) {
    for (const std::string& key : keys) {
      if (found.size() < kNearest && key.find(text) != std::string::npos) found.push_back(key);
    }
  }
  return found;
}

}  // namespace octavo::plan
