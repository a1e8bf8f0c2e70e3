// JSON that somebody else wrote.
#pragma once

#include <nlohmann/json.hpp>

#include <optional>
#include <string_view>
#include <utility>

namespace octavo {

// Nothing for what is not JSON, holds a NUL (the parser takes one for the end of the text) or is nested
// deeper than `max_depth` levels below the outermost: writing, copying and comparing a tree go one call
// deeper for each level, so the stack's size is the limit of a text that is taken as it is.
template <typename Json = nlohmann::ordered_json>
std::optional<Json> parse_untrusted(std::string_view text, int max_depth = 16) {
  if (text.find('\0') != std::string_view::npos) return std::nullopt;
  bool too_deep = false;
  const typename Json::parser_callback_t limit = [&](int depth, typename Json::parse_event_t, Json&) {
    return !(too_deep |= depth > max_depth);
  };
  Json parsed = Json::parse(text.begin(), text.end(), limit, false);
  if (too_deep || parsed.is_discarded()) return std::nullopt;
  return parsed;
}

}  // namespace octavo
