// Nearest for a tile in one pass over memory: each band (a row, or the rows of one line of blocks) is read
// once from memory for its largest magnitude, which also finds infinities and NaN, and a second time from the
// cache for its codes. Rotated rows go through an f32 row in the cache. What is rare (values that are not
// finite, values above the absmax that the host gave) goes band by band to the reference.
#include "nearest.hpp"

#include "rotation.hpp"
#include "source_rows.hpp"
#include "tile_result.hpp"

#include <octavo/grid.hpp>
#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cfloat>

namespace octavo::cpu {
namespace {

// Bits from which a magnitude cannot be used.
std::uint32_t limit_bits(const octavo_grid* grid) {
  return grid != nullptr && is_rotated(*grid) ? std::bit_cast<std::uint32_t>(kRotatedLimit) : 0x7f800000u;
}

// Sums of a tile or of one band of it.
struct Totals {
  double error = 0.0;
  double signal = 0.0;
  float largest = 0.0f;
  std::int64_t floored = 0;

  void add(const RoundingSums& sums, float scale) {
    const double square = double{scale} * double{scale};
    error += square * double{sums.error};
    signal += square * double{sums.signal};
    largest = std::max(largest, sums.largest * scale);
  }
};

class TilePass {
 public:
  TilePass(LaneTools& tools, const octavo_tile& tile, octavo_tile_result& result)
      : tools_(tools),
        tile_(tile),
        grid_(*tile.grid),
        level_(tile.grid->scales[0]),
        result_(result),
        source_(tile.source, tools.values, tools.decoded) {}

  void run() {
    const bool blocks = level_.granularity == OCTAVO_PER_BLOCK || level_.granularity == OCTAVO_PER_GROUP;
    const std::int64_t band_rows = level_.granularity == OCTAVO_PER_BLOCK ? level_.block_rows : 1;
    for (std::int64_t row = 0; row < rows(); row += band_rows) {
      const std::int64_t height = std::min(band_rows, rows() - row);
      Totals band;
      if (blocks ? quantize_blocks(row, height, band) : quantize_row(row, band))
        add_band(row, height, band);
      else
        use_reference(row, height);
    }
  }

 private:
  std::int64_t rows() const { return tile_.source.shape[0]; }
  std::int64_t cols() const { return tile_.source.shape[1]; }

  float scale_for(float absmax, Totals& totals) const {
    if (absmax > 0.0f && absmax / static_cast<float>(grid_.qmax) < level_.floor) ++totals.floored;
    return scale_of(absmax, grid_.qmax, level_.floor);
  }

  // One row with a scale of its own or of the whole layer.
  bool quantize_row(std::int64_t row, Totals& band) {
    Values values = source_.at(row, 1, 0, cols());
    const std::uint32_t bits = tools_.rows.absmax(values);
    if (bits >= limit_bits(&grid_)) return false;
    float absmax = std::bit_cast<float>(bits);
    float unit = 1.0f;  // what the values are multiples of, as against the basis
    if (is_rotated(grid_)) {
      unit = rotation_unit(grid_.basis_group);
      float* rotated = tools_.rotated.floats(values.cols);
      absmax = unit * tools_.rows.rotate(values.data, values.dtype, values.cols,
                                         static_cast<std::size_t>(grid_.basis_group), false, rotated);
      values = {rotated, OCTAVO_F32, 1, values.cols, 0};
    }
    float scale;
    if (level_.granularity == OCTAVO_PER_TENSOR) {
      if (!(absmax <= tile_.absmax)) return false;  // the codes need clamping
      scale = scale_of(tile_.absmax, grid_.qmax, level_.floor);
    } else {
      scale = scale_for(absmax, band);
      *row_of<float>(tile_.scales[0], row) = scale;
    }
    band.add(tools_.rows.quantize(values, scale / unit, row_of<std::int8_t>(tile_.codes, row), 0,
                                  source_.ahead(row + 1, 0)),
             scale);
    return true;
  }

  // What is read after the blocks at [row, col]: those to the right.
  Ahead ahead(std::int64_t row, std::int64_t col) const {
    return col + level_.block_cols < cols() ? source_.ahead(row, col + level_.block_cols) : Ahead{};
  }

  // The blocks beside one another in `height` rows.
  bool quantize_blocks(std::int64_t row, std::int64_t height, Totals& band) {
    float* scales = row_of<float>(tile_.scales[0],
                                  level_.granularity == OCTAVO_PER_BLOCK ? row / level_.block_rows : row);
    for (std::int64_t col = 0; col < cols(); col += level_.block_cols) {
      const Values values = source_.at(row, height, col, std::min(level_.block_cols, cols() - col));
      const std::uint32_t bits = tools_.rows.absmax(values);
      if (bits >= limit_bits(&grid_)) return false;
      const float scale = scale_for(std::bit_cast<float>(bits), band);
      scales[col / level_.block_cols] = scale;
      std::int8_t* codes = row_of<std::int8_t>(tile_.codes, row) + col;
      band.add(tools_.rows.quantize(values, scale, codes, tile_.codes.row_stride, ahead(row, col)), scale);
    }
    return true;
  }

  void add_band(std::int64_t row, std::int64_t height, const Totals& band) {
    const RowErrors errors{band.error, band.signal, band.largest};
    result_.floored_rows += band.floored;
    if (height == 1)
      add_row(result_, row, errors);
    else
      add_rows(result_, errors);
  }

  static void move_to_row(octavo_tensor& view, std::int64_t row, std::int64_t height) {
    if (view.data == nullptr) return;
    view.data = static_cast<std::uint8_t*>(view.data) +
                row * view.row_stride * static_cast<std::int64_t>(bytes_of(view.dtype));
    view.shape[0] = height;
  }

  // `height` rows from `row` on as a tile of its own, done by the reference.
  void use_reference(std::int64_t row, std::int64_t height) {
    octavo_tile band = tile_;
    band.row_begin += row;
    band.bias_delta.data = nullptr;
    move_to_row(band.source, row, height);
    move_to_row(band.codes, row, height);
    if (level_.granularity == OCTAVO_PER_BLOCK)
      move_to_row(band.scales[0], row / level_.block_rows, 1);
    else if (level_.granularity != OCTAVO_PER_TENSOR)
      move_to_row(band.scales[0], row, height);
    add_reference(tools_.reference, band, row, cols(), result_);
  }

  LaneTools& tools_;
  const octavo_tile& tile_;
  const octavo_grid& grid_;
  const octavo_scale_level& level_;
  octavo_tile_result& result_;
  SourceRows source_;
};

// Views as the kernels index them: rank 2 and of the same shape; block metrics per row are the reference's.
bool shapes_fit(const octavo_tile& tile, const octavo_tile_result& result) {
  const octavo_scale_level& level = tile.grid->scales[0];
  if (tile.source.rank != 2 || tile.codes.rank != 2 || tile.codes.shape[0] != tile.source.shape[0] ||
      tile.codes.shape[1] != tile.source.shape[1] || !has_fast_basis(*tile.grid, tile.source.shape[1]))
    return false;
  if (level.granularity == OCTAVO_PER_BLOCK &&
      (result.row_metric != nullptr || result.row_nearest_metric != nullptr))
    return false;
  if (level.granularity == OCTAVO_PER_TENSOR) return tile.absmax >= 0.0f && tile.absmax <= FLT_MAX;
  const ScaleShape shape = scale_shape(level, tile.source.shape[0], tile.source.shape[1]);
  const octavo_tensor& scales = tile.scales[0];
  return scales.data != nullptr && scales.rank == 2 && scales.dtype == OCTAVO_F32 &&
         scales.shape[0] == shape.rows && scales.shape[1] == shape.cols;
}

}  // namespace

std::string nearest_refusal(const octavo_grid& grid, std::uint32_t source_dtype) {
  if (!is_weight_dtype(source_dtype)) return fmt::format("a source of dtype {}", source_dtype);
  if (grid.code != OCTAVO_CODE_INTEGER || grid.stored_dtype != OCTAVO_I8 || grid.qmin > -grid.qmax ||
      grid.qmax < 1 || grid.qmax > 127)
    return "codes other than symmetric 8-bit integers";
  const octavo_scale_level& level = grid.scales[0];
  if (grid.scale_levels != 1 || level.rule != OCTAVO_SCALE_ABSMAX || level.dtype != OCTAVO_F32 ||
      !(level.floor >= FLT_MIN))
    return "scales other than one level of F32 with a floor";
  const bool blocks = level.granularity == OCTAVO_PER_BLOCK || level.granularity == OCTAVO_PER_GROUP;
  if (blocks && (level.block_cols < 1 || (level.granularity == OCTAVO_PER_BLOCK && level.block_rows < 1)))
    return "empty blocks";
  if (!has_fast_basis(grid, grid.basis_group) || (is_rotated(grid) && blocks))
    return "a basis other than plain, or convrot in groups of 16, 64 or 256 with scales for rows or the "
           "tensor";
  // Values below the normal ones of f32 are not rounded to the basis: they must be far below a code.
  if (is_rotated(grid) && level.floor < 1e-36f) return "a smallest scale below 1e-36 in a rotated basis";
  return {};
}

bool quantize_tile(LaneTools& tools, const octavo_tile& tile, octavo_tile_result& result) {
  if (!shapes_fit(tile, result)) return false;
  clear_result(result);
  TilePass(tools, tile, result).run();
  zero_bias_delta(tile);
  return true;
}

bool find_absmax(LaneTools& tools, const octavo_grid* grid, const octavo_tensor& source,
                 octavo_absmax_result& result) {
  if (source.rank != 2 || !is_weight_dtype(source.dtype)) return false;
  if (grid != nullptr && grid->code == OCTAVO_CODE_CAST) return false;
  const bool rotated = grid != nullptr && is_rotated(*grid);
  if (grid != nullptr && !has_fast_basis(*grid, source.shape[1])) return false;
  if (rotated && grid->cols > source.shape[1]) return false;
  const SourceRows rows(source, tools.values, tools.decoded);
  float largest = 0.0f;
  for (std::int64_t r = 0; r < source.shape[0]; ++r) {
    const Values values = rows.row(r);
    const std::uint32_t bits = tools.rows.absmax(values);
    if (bits >= limit_bits(grid)) return false;
    const float absmax = rotated ? rotation_unit(grid->basis_group) *
                                       tools.rows.rotate(values.data, values.dtype, values.cols,
                                                         static_cast<std::size_t>(grid->basis_group), false,
                                                         tools.rotated.floats(values.cols))
                                 : std::bit_cast<float>(bits);
    largest = std::max(largest, absmax);
  }
  result.absmax = largest;
  result.nonfinite_count = 0;
  result.nonfinite_first = -1;
  result.overflow_count = 0;
  return true;
}

}  // namespace octavo::cpu
