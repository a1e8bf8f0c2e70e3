// Numbers and shapes in sentences.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace octavo {

// "1 layer", "3 layers", "2 biases": the count and what is counted. `many`: what several are called, where
// that is not `one` with an s.
inline std::string plural(uint64_t count, std::string_view one, std::string_view many = {}) {
  if (count == 1) return fmt::format("1 {}", one);
  return many.empty() ? fmt::format("{} {}s", count, one) : fmt::format("{} {}", count, many);
}

// "[768, 3072]"; "[]" for rank 0.
inline std::string shape_text(const std::vector<uint64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

}  // namespace octavo
