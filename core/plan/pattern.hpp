// Regular expressions with the meaning of Python's `re`, in which layer rules are written.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace octavo::plan {

// Copies share the compiled program. Members may be called from any thread.
class Pattern {
 public:
  // `origin` ("--exclude-layers") is for messages. Throws Error usage for a pattern that is empty or does not
  // compile, with the byte at which it goes wrong.
  Pattern(std::string text, const std::string& origin);

  const std::string& text() const { return text_; }
  // Somewhere in the key, as `re.search`. Throws Error usage where the search grows out of all bounds.
  bool search(std::string_view key) const;
  // The whole key, as `re.fullmatch`.
  bool full_match(std::string_view key) const;

 private:
  struct Program;
  bool match(std::string_view key, unsigned options) const;

  std::string text_;
  std::string origin_;
  std::shared_ptr<const Program> program_;
};

// How closely a pattern of a layer config describes its layers. Of several that match, the lowest tier wins,
// then the most literal characters.
//
// Literals are the characters that stand for themselves; what is in brackets, groups or a count is not one,
// nor is an escaped character. Tier 0: 8 literals or more, and a digit among them or `\d`; else tier 1.
struct PatternRank {
  int tier = 1;
  std::size_t literals = 0;
};

PatternRank rank_of(std::string_view pattern);
bool is_closer(const PatternRank& a, const PatternRank& b);

// The pattern's own characters, escapes undone and operators left out: "blocks.0.attn" of
// "^blocks\.0\.attn$". What a person probably had in mind where nothing matches.
std::string plain_text(std::string_view pattern);

// Up to three keys that a pattern without a match may have been meant for, nearest first.
std::vector<std::string> nearest_keys(std::string_view pattern, const std::vector<std::string>& keys);

}  // namespace octavo::plan
