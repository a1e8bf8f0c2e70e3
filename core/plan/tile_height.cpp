#include "plan/tile_height.hpp"

#include <algorithm>

namespace octavo::plan {

int64_t tile_height(int64_t rows, uint64_t row_bytes, int64_t row_multiple, bool whole_layer,
                    uint64_t tile_bytes) {
  if (whole_layer) return rows;
  const uint64_t fitting = tile_bytes / std::max<uint64_t>(row_bytes, 1);
  const int64_t multiples = std::max<int64_t>(static_cast<int64_t>(fitting) / row_multiple, 1);
  return std::min(multiples * row_multiple, rows);
}

}  // namespace octavo::plan
