#include "base/bytes.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

namespace octavo {
namespace {

constexpr size_t kFractionDigits = 9;  // 10^9 times the largest fraction still fits 128 bits with any unit

std::string_view take_digits(std::string_view& text) {
  const size_t count = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::string_view digits = text.substr(0, count);
  text.remove_prefix(count);
  return digits;
}

// The factor that a suffix stands for; nothing for an unknown one.
std::optional<uint64_t> unit_of(std::string_view suffix) {
  std::string lower;
  for (const char c : suffix) lower += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (lower.empty() || lower == "b") return 1;
  const size_t power = std::string_view("kmgtp").find(lower.front());
  if (power == std::string_view::npos) return std::nullopt;
  const std::string_view rest = std::string_view(lower).substr(1);
  if (!rest.empty() && rest != "b" && rest != "ib") return std::nullopt;
  const uint64_t base = rest == "b" ? 1000 : 1024;
  uint64_t unit = base;
  for (size_t i = 0; i < power; ++i) unit *= base;
  return unit;
}

// digits (at most 9 of them) read as 0.digits, times unit, rounded down.
uint64_t fraction_of(std::string_view digits, uint64_t unit) {
  uint64_t numerator = 0;
  uint64_t denominator = 1;
  for (const char digit : digits) {
    numerator = numerator * 10 + static_cast<uint64_t>(digit - '0');
    denominator *= 10;
  }
  // unit <= 2^50 and numerator < 2^30: split so that no product leaves 64 bits.
  return unit / denominator * numerator + unit % denominator * numerator / denominator;
}

}  // namespace

std::optional<uint64_t> checked_add(uint64_t a, uint64_t b) {
  uint64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

std::optional<uint64_t> checked_mul(uint64_t a, uint64_t b) {
  uint64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

uint64_t parse_bytes(std::string_view text) {
  const auto refuse = [&](const char* why) {
    return Error(ErrorCode::usage, fmt::format("[size] \"{}\" {}", printable(text), why),
                 "write a size as 4096, 512MiB, 8G or 11GB");
  };
  std::string_view rest = text;
  const std::string_view whole = take_digits(rest);
  std::string_view fraction;
  if (rest.starts_with('.')) {
    rest.remove_prefix(1);
    fraction = take_digits(rest);
    if (fraction.empty() || fraction.size() > kFractionDigits)
      throw refuse("needs 1 to 9 digits after the point");
  }
  while (rest.starts_with(' ')) rest.remove_prefix(1);
  const std::optional<uint64_t> unit = unit_of(rest);
  if (whole.empty() || !unit) throw refuse("is not a size");
  uint64_t count = 0;
  if (std::from_chars(whole.data(), whole.data() + whole.size(), count).ec != std::errc())
    throw refuse("is too large");
  const std::optional<uint64_t> bytes = checked_mul(count, *unit);
  const std::optional<uint64_t> sum =
      bytes ? checked_add(*bytes, fraction_of(fraction, *unit)) : std::nullopt;
  if (!sum) throw refuse("is too large");
  return *sum;
}

std::string format_bytes(uint64_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  constexpr std::array units{"kB", "MB", "GB", "TB", "PB", "EB"};
  double value = static_cast<double>(bytes) / 1000;
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < units.size()) {
    value /= 1000;
    ++unit;
  }
  const int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f} {}", value, decimals, units[unit]);
}

}  // namespace octavo
