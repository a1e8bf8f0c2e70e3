#include "band.hpp"

#include "passes.hpp"

#include <octavo/grid.hpp>
#include <octavo/lane.hpp>

#include <ATen/ops/div.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>

#include <algorithm>
#include <cmath>

namespace octavo::descent {
namespace {

// Bands of this many rows keep a task's matrices in a core's cache; it divides the usual heights of blocks.
constexpr std::int64_t kBandRows = 64;

bool is_supported(const octavo_grid& grid) {
  return grid.code == OCTAVO_CODE_INTEGER && grid.stored_dtype == OCTAVO_I8 && grid.scale_levels == 1 &&
         grid.scales[0].dtype == OCTAVO_F32;
}

// The source as f32, what is not finite being 0, as nearest has taken it.
LaneMatrix finite_source(const Work& work, const octavo_tile& tile) {
  octavo_lane& lane = work.lane();
  LaneMatrix source(lane, OCTAVO_F32, tile.source.shape[0], tile.source.shape[1]);
  octavo_cast_result result{};
  result.struct_size = sizeof result;
  issue(lane, &octavo_operations::cast, &tile.source, &source.view(), OCTAVO_TILE_ZERO_NONFINITE, &result);
  wait_for(lane, tile.slot);
  if (tile.grid->basis == OCTAVO_BASIS_CONVROT && work.sees(source.view())) {
    at::Tensor values = as_tensor(source.view());
    values.masked_fill_(values.abs().ge(kRotatedLimit), 0);
    finish_torch(work.device());
  }
  return source;
}

// The weight in the grid's basis / unit.
at::Tensor in_basis(const Work& work, const octavo_tile& tile, double unit) {
  LaneMatrix finite;
  const bool replaced = (tile.flags & OCTAVO_TILE_ZERO_NONFINITE) != 0;
  if (replaced) finite = finite_source(work, tile);
  LaneMatrix values(work.lane(), OCTAVO_F32, tile.codes.shape[0], tile.codes.shape[1]);
  issue(work.lane(), &octavo_operations::to_basis, tile.grid, replaced ? &finite.view() : &tile.source,
        &values.view());
  return work.fetch(values.view(), unit);
}

at::Tensor level_scales(const Work& work, const octavo_tile& tile) {
  const octavo_grid& grid = *tile.grid;
  if (grid.scales[0].granularity != OCTAVO_PER_TENSOR) return work.fetch(tile.scales[0]);
  const float scale = scale_of(tile.absmax, grid.qmax, grid.scales[0].floor);
  return at::full({1, 1}, scale, at::TensorOptions().dtype(at::kFloat).device(work.device()));
}

}  // namespace

GridTile::GridTile(const Work& work, const octavo_tile& tile) : work_(work), tile_(&tile) {
  if (!is_supported(*tile.grid))
    throw PluginError(OCTAVO_UNSUPPORTED,
                      work.layer() + ": learned rounding is for INT8 codes with one level of F32 scales");
  codes_ = work.fetch(tile.codes);
  scales_ = level_scales(work, tile);
  unit_ = std::exp2(std::ilogb(scales_.max().item<float>()));
  scales_.div_(unit_);  // exact, both
  values_ = in_basis(work, tile, unit_);
  weights_ = at::empty_like(values_);
  for (const Range& range : ranges()) {
    at::Tensor target = weights_.narrow(0, range.begin, range.count);
    at::div_out(target, values_.narrow(0, range.begin, range.count), spread_scales(range));
  }
}

void GridTile::reset_codes() { take_codes(tile_->codes); }

void GridTile::take_codes(const octavo_tensor& codes) { codes_.copy_(work_.fetch(codes)); }

at::Tensor GridTile::residual() const {
  at::Tensor residual = at::empty_like(weights_);
  for (const Band& band : bands())
    residual.narrow(0, band.begin, band.rows()).copy_(band.errors().mul_(-unit_));
  return residual;
}

std::vector<GridTile::Range> GridTile::ranges() const {
  const std::int64_t height = work_.device().is_cpu() ? kBandRows : rows();
  std::vector<Range> ranges;
  for (std::int64_t begin = 0; begin < rows(); begin += height)
    ranges.push_back({begin, std::min(height, rows() - begin)});
  return ranges;
}

// The scales of some rows in a shape that broadcasts against them: a matrix only where blocks end within.
at::Tensor GridTile::spread_scales(const Range& range) const {
  const octavo_scale_level& level = tile_->grid->scales[0];
  if (level.granularity == OCTAVO_PER_TENSOR) return scales_;
  if (level.granularity == OCTAVO_PER_ROW) return scales_.narrow(0, range.begin, range.count);
  const auto along_columns = [&](const at::Tensor& scales) {
    return scales.repeat_interleave(level.block_cols, 1).narrow(1, 0, cols()).contiguous();
  };
  if (level.granularity == OCTAVO_PER_GROUP)
    return along_columns(scales_.narrow(0, range.begin, range.count));
  const std::int64_t first = range.begin / level.block_rows;
  const std::int64_t last = (range.begin + range.count - 1) / level.block_rows;
  const at::Tensor blocks = scales_.narrow(0, first, last - first + 1);
  if (first == last) return along_columns(blocks);
  return along_columns(blocks.repeat_interleave(level.block_rows, 0)
                           .narrow(0, range.begin - first * level.block_rows, range.count));
}

std::vector<Band> GridTile::bands() const {
  std::vector<Band> bands;
  for (const Range& range : ranges()) {
    const at::Tensor scales = spread_scales(range);
    bands.push_back({range.begin, weights_.narrow(0, range.begin, range.count), scales,
                     scales.masked_fill(scales.le(kScaleFloor / unit_), 0),
                     codes_.narrow(0, range.begin, range.count)});
  }
  return bands;
}

void GridTile::store(octavo_tile_result& result) {
  work_.put(codes_, tile_->codes);
  const std::vector<Band> all = bands();
  std::vector<ErrorSizes> sizes(all.size());
  work_.for_each(static_cast<std::int64_t>(all.size()), [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    sizes[at] = error_sizes(work_, all[at]);  // on a GPU, waits for the codes too
  });
  double largest = 0;
  result.error_sum = 0;
  for (const ErrorSizes& of : sizes) {
    result.error_sum += of.squares * unit_ * unit_;
    largest = std::max(largest, of.largest);
  }
  result.max_error = static_cast<float>(largest * unit_);
}

}  // namespace octavo::descent
