#include "edit/marker_change.hpp"

#include "base/error.hpp"
#include "base/json.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

namespace octavo::edit {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kSpace = " \t\r\n";
constexpr const char* kFullPrecision = "full_precision_matrix_mult";

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

bool equals_ignoring_case(std::string_view text, std::string_view lower) {
  return std::equal(text.begin(), text.end(), lower.begin(), lower.end(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b; });
}

template <typename Number>
std::optional<Number> whole(std::string_view text) {
  Number number{};
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

Json bare_value(std::string_view text) {
  if (equals_ignoring_case(text, "true")) return true;
  if (equals_ignoring_case(text, "false")) return false;
  if (const auto number = whole<int64_t>(text)) return *number;
  const bool looks_like_float = text.find_first_of("0123456789") != text.npos;
  if (const auto number = whole<double>(text); number && looks_like_float && std::isfinite(*number))
    return *number;
  return std::string(text);
}

// Reads `'key': value, ...` from front to back.
class PairReader {
 public:
  explicit PairReader(std::string_view text) : text_(text) {}

  Json read() {
    Json pairs = Json::object();
    do {
      std::string key = quoted("a key in quotes");
      expect(':');
      pairs[std::move(key)] = value();
    } while (next_pair());
    return pairs;
  }

 private:
  void skip_space() { at_ = std::min(text_.find_first_not_of(kSpace, at_), text_.size()); }

  [[noreturn]] void refuse(const std::string& expected) const {
    throw Error(ErrorCode::usage,
                fmt::format("[edit] --add-keys: {} is expected at character {} of \"{}\"", expected, at_ + 1,
                            printable(text_)),
                R"(--add-keys "'full_precision_matrix_mult': true", or a JSON object)");
  }

  void expect(char wanted) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != wanted) refuse(fmt::format("'{}'", wanted));
    ++at_;
  }

  bool at_quote() const { return at_ < text_.size() && (text_[at_] == '\'' || text_[at_] == '"'); }

  std::string quoted(const std::string& what) {
    skip_space();
    if (!at_quote()) refuse(what);
    const size_t end = text_.find(text_[at_], at_ + 1);
    if (end == text_.npos || end == at_ + 1) refuse(what);
    std::string inner(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return inner;
  }

  Json value() {
    skip_space();
    if (at_quote()) return quoted("a text in quotes");
    const std::string_view bare = trimmed(text_.substr(at_, text_.find(',', at_) - at_));
    if (bare.empty()) refuse("a value");
    at_ = std::min(text_.find(',', at_), text_.size());
    return bare_value(bare);
  }

  // False at the end; a comma may end the text.
  bool next_pair() {
    skip_space();
    if (at_ == text_.size()) return false;
    expect(',');
    skip_space();
    return at_ < text_.size();
  }

  std::string_view text_;
  size_t at_ = 0;
};

Json json_pairs(std::string_view text) {
  std::optional<Json> parsed = parse_untrusted<Json>(text);
  if (!parsed || !parsed->is_object()) {
    throw Error(
        ErrorCode::usage,
        fmt::format("[edit] --add-keys: \"{}\" begins like a JSON object and is none", printable(text)));
  }
  return std::move(*parsed);
}

// With full_precision_matrix_mult after `format` and `group_size`, wherever it stands in `marker`.
Json in_order(const Json& marker) {
  Json ordered = Json::object();
  for (const char* first : {"format", "group_size", kFullPrecision}) {
    if (const auto found = marker.find(first); found != marker.end()) ordered[first] = *found;
  }
  for (const auto& [key, value] : marker.items()) ordered.emplace(key, Json(value));
  return ordered;
}

}  // namespace

std::vector<std::string> parse_keys(std::string_view text) {
  std::vector<std::string> keys;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    std::string_view key = trimmed(text.substr(begin, end - begin));
    if (key.empty()) {
      throw Error(ErrorCode::usage,
                  fmt::format("[edit] --remove-keys: \"{}\" holds an empty key", printable(text)));
    }
    keys.emplace_back(key);
    begin = end + 1;
  }
  return keys;
}

Json parse_pairs(std::string_view text) {
  const std::string_view inner = trimmed(text);
  return inner.starts_with("{") ? json_pairs(inner) : PairReader(inner).read();
}

Json parse_marker(std::string_view text, const std::string& where) {
  std::optional<Json> parsed = parse_untrusted<Json>(text);
  if (!parsed || !parsed->is_object()) {
    throw Error(ErrorCode::bad_input,
                fmt::format("[edit] {} is no JSON object: {}", printable(where), printable(text)),
                "--quant-filter can leave it out; octavo verify says more");
  }
  return std::move(*parsed);
}

Json changed(const Json& marker, const MarkerChange& change) {
  Json result = marker;
  for (const std::string& key : change.remove) result.erase(key);
  for (const auto& [key, value] : change.add.items()) result[key] = value;
  const bool is_new = !marker.contains(kFullPrecision) && result.contains(kFullPrecision);
  return is_new ? in_order(result) : result;
}

}  // namespace octavo::edit
