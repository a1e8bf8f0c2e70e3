#include "base/error.hpp"

#include <boost/locale/utf.hpp>

#include <algorithm>
#include <utility>

namespace octavo {
namespace {

constexpr size_t kShownBytes = 200;

bool in_range(uint32_t point, uint32_t first, uint32_t last) { return point >= first && point <= last; }

// Controls (C0, DEL, C1), zero-width and bidirectional marks, line separators, the byte order mark, tags.
bool hides_or_controls(uint32_t point) {
  return point < 0x20 || in_range(point, 0x7f, 0x9f) || point == 0xad || point == 0x61c ||
         in_range(point, 0x200b, 0x200f) || in_range(point, 0x2028, 0x202e) ||
         in_range(point, 0x2060, 0x206f) || point == 0xfeff || in_range(point, 0xfff9, 0xfffb) ||
         in_range(point, 0xe0000, 0xe0fff);
}

}  // namespace

Error::Error(ErrorCode code, const std::string& what, std::string hint)
    : std::runtime_error(what), code_(code), hint_(std::move(hint)) {}

std::string_view without_operation(std::string_view message) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz";
  if (message.size() < 2 || message[0] != '[' || kLetters.find(message[1]) == kLetters.npos) return message;
  const size_t end = message.find_first_not_of("abcdefghijklmnopqrstuvwxyz -", 1);
  if (end == message.npos || message.substr(end, 2) != "] ") return message;
  return message.substr(end + 2);
}

namespace {

// Cut after `most` bytes of the name.
std::string escaped(std::string_view name, size_t most) {
  using utf8 = boost::locale::utf::utf_traits<char>;
  const auto is_plain = [](char c) { return c >= ' ' && c <= '~'; };
  if (name.size() <= most && std::all_of(name.begin(), name.end(), is_plain)) return std::string(name);
  std::string shown;
  const char* next = name.data();
  const char* const end = next + name.size();
  while (next != end) {
    const char* const start = next;
    const auto point = utf8::decode(next, end);
    const bool invalid = point == boost::locale::utf::illegal || point == boost::locale::utf::incomplete;
    if (invalid) next = start + 1;
    if (static_cast<size_t>(next - name.data()) > most) return shown + "...";
    if (!invalid && !hides_or_controls(point)) {
      shown.append(start, next);
      continue;
    }
    for (const char* byte = start; byte != next; ++byte)
      shown += fmt::format("\\x{:02x}", static_cast<unsigned char>(*byte));
  }
  return shown;
}

}  // namespace

std::string printable(std::string_view name) { return escaped(name, kShownBytes); }

std::string printable_text(std::string_view text) { return escaped(text, text.size()); }

}  // namespace octavo
