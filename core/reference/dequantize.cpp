// Dequantize: code x (scale of level 0 x scale of level 1), or (code - zero point) x scale, in f32.
#include "reference/basis.hpp"
#include "reference/codes.hpp"
#include "reference/convert.hpp"
#include "reference/incoherent.hpp"
#include "reference/nearest.hpp"
#include "reference/scales.hpp"
#include "reference/view.hpp"

#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <vector>

namespace octavo::reference {
namespace {

constexpr const char* kOperation = "dequantize";

struct Level {
  Cells cells;
  std::vector<float> scales;
};

void undo_basis(const octavo_grid& grid, const octavo_tensor& target, Extent size) {
  check_basis(grid, size.cols, kOperation);
  if (grid.basis == OCTAVO_BASIS_INCOHERENT) {
    if (size.rows != grid.rows) bad_argument(kOperation, "an incoherent basis takes the whole layer");
    return from_incoherent(grid, static_cast<float*>(target.data), target.row_stride);
  }
  for (std::int64_t r = 0; r < size.rows; ++r)
    apply_basis(grid, {row_of<float>(target, r), static_cast<std::size_t>(size.cols)});
}

void read_casts(const octavo_tile& tile, const octavo_tensor& target, Extent size) {
  expect_float(tile.codes, kOperation, "codes");
  for (std::int64_t r = 0; r < size.rows; ++r)
    load_row(tile.codes, r, {row_of<float>(target, r), static_cast<std::size_t>(size.cols)});
}

void read_codes(const octavo_tile& tile, const octavo_tensor& target, Extent size) {
  const octavo_grid& grid = *tile.grid;
  check_codes(grid, kOperation);
  check_scales(grid, kOperation);
  std::vector<Level> levels;
  for (std::uint32_t i = 0; i < grid.scale_levels; ++i) {
    const Cells cells = cells_of(grid.scales[i], size);
    levels.push_back({cells, load_scales(grid.scales[i], tile.scales[i], cells, kOperation)});
  }
  std::vector<float> zero_points;
  if (grid.code == OCTAVO_CODE_INTEGER_ZERO)
    zero_points = load_zero_points(grid, tile.zero_points, levels[0].cells, kOperation);
  for (std::int64_t r = 0; r < size.rows; ++r) {
    for (std::int64_t c = 0; c < size.cols; ++c) {
      const std::size_t cell = levels[0].cells.index(r, c);
      float scale = levels[0].scales[cell];
      if (levels.size() == 2) scale *= levels[1].scales[levels[1].cells.index(r, c)];
      const float code = load_code(grid, tile.codes.data, r * tile.codes.row_stride + c);
      row_of<float>(target, r)[c] = (code - (zero_points.empty() ? 0.0f : zero_points[cell])) * scale;
    }
  }
}

}  // namespace

octavo_status dequantize(octavo_lane*, const octavo_tile* tile, std::uint32_t plain, octavo_tensor* target,
                         octavo_error* error) {
  return detail::guard(error, [&] {
    if (tile->grid == nullptr) bad_argument(kOperation, "no grid");
    const Extent size = extent(tile->codes, kOperation, "codes");
    expect(tile->codes, tile->grid->stored_dtype, size, kOperation, "codes");
    expect(*target, OCTAVO_F32, size, kOperation, "target");
    if (tile->grid->code == OCTAVO_CODE_CAST)
      read_casts(*tile, *target, size);
    else
      read_codes(*tile, *target, size);
    if (plain != 0) undo_basis(*tile->grid, *target, size);
  });
}

}  // namespace octavo::reference
