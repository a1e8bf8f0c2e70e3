// Attempts at a factor: where none can be made its damping is raised, and at last double precision tried.
#pragma once

#include "feedback/factor.hpp"

#include <optional>
#include <string>

namespace octavo::feedback {

inline constexpr int kMostRaises = 3;

// What attempt(number) makes, with the damping raised `number` times, or at last in f64.
template <typename Attempt>
std::optional<Factor> first_success(Attempt attempt) {
  for (int number = 0; number <= kMostRaises + 1; ++number) {
    if (std::optional<Factor> made = attempt(number)) return made;
  }
  return std::nullopt;
}

inline bool is_last(int number) { return number > kMostRaises; }

inline double damping_at(const FactorWish& wish, int number) {
  double damping = wish.damping;
  for (int raises = is_last(number) ? 0 : number; raises > 0; --raises) damping *= 10;
  return damping;
}

// What the layer's note says of attempt `number`.
inline std::string note_of(int number, double damping, bool made_elsewhere) {
  std::string note;
  if (number > 0)
    note = is_last(number) ? "the factor took double precision"
                           : "damping was raised to " + std::to_string(damping);
  if (made_elsewhere)
    note += std::string(note.empty() ? "" : "; ") +
            "its factor was made on the CPU: this LibTorch has no part for the device";
  return note;
}

}  // namespace octavo::feedback
