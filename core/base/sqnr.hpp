// Signal-to-quantization-noise ratio.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <optional>
#include <string>

namespace octavo {

// 10 log10(signal / error) in dB, of sums of squares; nothing where nothing was lost, which JSON calls null
// and what sorts layers takes for infinity.
inline std::optional<double> sqnr_db(double signal, double error) {
  if (error == 0) return std::nullopt;
  return 10 * std::log10(signal / error);
}

// "42.13 dB"; "not finite" where the sums are not; "exact".
inline std::string sqnr_text(std::optional<double> sqnr) {
  if (!sqnr) return "exact";
  return std::isnan(*sqnr) ? "not finite" : fmt::format("{:.2f} dB", *sqnr);
}

// What sorts the worst first and the exact last.
inline double sqnr_order(std::optional<double> sqnr) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (!sqnr) return infinity;
  return std::isnan(*sqnr) ? -infinity : *sqnr;
}

}  // namespace octavo
