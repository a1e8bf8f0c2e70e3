// Conversions between float dtypes, and comparisons of two tensors.
#pragma once

#include "launch.hpp"
#include "view.hpp"

#include <cstdint>

namespace octavo::cuda {

struct CastJob {
  View source;
  View target;
  std::uint32_t flags;  // OCTAVO_TILE_*
  bool errors;          // a tile of a CAST grid: count what is not finite and sum up the errors too
  double* row_errors;   // pinned, for each row; or nullptr
};

// Reports overflows and underflows, and what `errors` asks for.
void cast_values(const Launch& launch, const CastJob& job);

// Reports the sums of (a - b)^2 and a^2 and the largest |a - b|.
void sum_errors(const Launch& launch, const View& a, const View& b);

}  // namespace octavo::cuda
