#include "plan/row_origin.hpp"

#include "base/aligned.hpp"

#include <octavo/grid.hpp>
#include <octavo/tensor.hpp>

#include <algorithm>

namespace octavo::plan {
namespace {

uint64_t aligned_bytes(int64_t elements, uint32_t dtype) {
  return aligned(static_cast<uint64_t>(elements) * octavo::bytes_of(dtype));
}

uint64_t stored_bytes(const stored::Layer& layer, int64_t rows) {
  const octavo_grid& grid = layer.grid;
  uint64_t bytes = aligned_bytes(rows * grid.cols, grid.stored_dtype);
  for (uint32_t level = 0; level < grid.scale_levels; ++level) {
    const octavo::ScaleShape shape = octavo::scale_shape(grid.scales[level], rows, grid.cols);
    bytes += aligned_bytes(shape.rows * shape.cols, grid.scales[level].dtype);
  }
  if (grid.code == OCTAVO_CODE_INTEGER_ZERO) {
    const octavo::ScaleShape shape = octavo::scale_shape(grid.scales[0], rows, grid.cols);
    bytes += aligned_bytes(shape.rows * shape.cols, grid.zero_point_dtype);
  }
  return bytes;
}

int64_t columns(const checkpoint::TensorInfo& info) {
  const auto rows = info.shape.empty() ? int64_t{1} : static_cast<int64_t>(info.shape[0]);
  return rows == 0 ? 0 : static_cast<int64_t>(info.elements()) / rows;
}

}  // namespace

bool RowOrigin::needs_host() const {
  if (is_scaled() || (stored != nullptr && stored->find(OCTAVO_ROLE_SMOOTH_FACTORS) != nullptr)) return true;
  return deltas != nullptr && std::any_of(deltas->begin(), deltas->end(), [](const lora::Delta& delta) {
           return !delta.adapter->is_low_rank();
         });
}

uint64_t staging_bytes(const RowOrigin& origin, int64_t rows) {
  if (origin.is_plain()) return 0;
  uint64_t bytes = origin.stored != nullptr
                       ? stored_bytes(*origin.stored, rows)
                       : aligned_bytes(rows * columns(origin.tensor->info), origin.tensor->info.dtype);
  if (origin.deltas == nullptr || origin.needs_host()) return bytes;
  for (const lora::Delta& delta : *origin.deltas) {
    bytes += aligned_bytes(std::min(rows, delta.rows) * delta.adapter->up.cols, OCTAVO_F32);
    bytes += aligned_bytes(delta.adapter->down.rows * delta.adapter->down.cols, OCTAVO_F32);
  }
  return bytes;
}

}  // namespace octavo::plan
