// The lane's operations on tiles and grids.
#include "basis.hpp"
#include "cast.hpp"
#include "cells.hpp"
#include "lane.hpp"
#include "low_rank.hpp"
#include "operands.hpp"

#include <octavo/grid.hpp>
#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace octavo::cuda {
namespace {

constexpr const char* kNearest = "quantize_nearest";

void clear(octavo_tile_result& result) {
  result.rows_sent_back = 0;
  result.note[0] = '\0';
}

// Fills a tile's result, and where they are asked for its row metrics, which are nearest's own.
Reports::Delivery tile_delivery(octavo_tile_result& result, std::int64_t rows) {
  return [&result, rows](const Findings& found, const double* row_errors) {
    clear(result);
    result.max_error = found.max_error;
    result.error_sum = found.error_sum;
    result.signal_sum = found.signal_sum;
    result.nonfinite_count = found.nonfinite;
    result.nonfinite_first = found.first;
    result.overflow_count = found.overflow;
    result.underflow_count = found.underflow;
    result.floored_rows = found.floored;
    if (row_errors == nullptr) return;
    for (double* metric : {result.row_metric, result.row_nearest_metric}) {
      if (metric != nullptr) std::copy_n(row_errors, rows, metric);
    }
  };
}

bool wants_rows(const octavo_tile_result& result) {
  return result.row_metric != nullptr || result.row_nearest_metric != nullptr;
}

// Codes in [-127, 127] at most, and one level of F32 scales by absmax with a floor that keeps their
// reciprocals finite.
bool is_int8(const octavo_grid& grid) {
  if (grid.code != OCTAVO_CODE_INTEGER || grid.stored_dtype != OCTAVO_I8 || grid.scale_levels != 1)
    return false;
  const octavo_scale_level& level = grid.scales[0];
  return grid.qmax > 0 && grid.qmin <= -grid.qmax && level.dtype == OCTAVO_F32 &&
         level.rule == OCTAVO_SCALE_ABSMAX && level.floor >= kScaleFloor && level.floor <= 1.0f;
}

bool is_128_square(const octavo_scale_level& level) {
  return level.granularity == OCTAVO_PER_BLOCK && level.block_rows == 128 && level.block_cols == 128;
}

// What the INT8 kernels can do with this tile; the others take any.
bool takes_int8_path(const octavo_tile& tile, const Residency& residency, bool row_errors) {
  const std::int64_t group = basis_group(*tile.grid, kNearest);
  const octavo_grid& grid = *tile.grid;
  const View source = view_of(tile.source), codes = view_of(tile.codes);
  if (!is_int8(grid) || source.rows != codes.rows || source.cols != codes.cols || source.rows == 0 ||
      source.cols == 0 || source.cols > widest_row(residency, group))
    return false;
  const octavo_scale_level& level = grid.scales[0];
  if (is_128_square(level)) return group == 0 && source.cols % 128 == 0 && !row_errors;
  if (level.granularity != OCTAVO_PER_ROW && level.granularity != OCTAVO_PER_TENSOR) return false;
  return group == 0 || group == 16 || group == 64 || group == 256;
}

// The kernels read 8 values at a time.
bool reads_directly(const View& source) {
  if (source.dtype != OCTAVO_F32 && source.dtype != OCTAVO_BF16 && source.dtype != OCTAVO_F16) return false;
  return has_aligned_rows(source, 16) && source.cols % 8 == 0;
}

// And write 8 codes at a time, rotated ones 16, where the columns are a multiple of that.
bool writes_directly(const View& codes, std::int64_t group) {
  const std::int64_t together = group != 0 ? 16 : 8;
  return has_aligned_rows(codes, together) && codes.cols % together == 0;
}

void check_tile(const octavo_tile& tile) {
  if (tile.grid == nullptr) bad_argument(kNearest, "no grid");
  const octavo_grid& grid = *tile.grid;
  const View source = float_view(tile.source, kNearest, "source");
  check_codes(grid, kNearest);
  check_levels(grid, kNearest);
  const View codes = checked_view(tile.codes, kNearest, "codes");
  checked_view(tile.codes, grid.stored_dtype, codes.rows, codes.cols, kNearest, "codes");
  if (codes.rows < source.rows || codes.cols < source.cols)
    bad_argument(kNearest, "the codes are smaller than the source");
  if (basis_group(grid, codes.cols, kNearest) > 256)
    unsupported(kNearest, fmt::format("groups of {} columns; at most 256 are supported", grid.basis_group));
  if (needs_layer_absmax(grid) && !(tile.absmax >= 0.0f && std::isfinite(tile.absmax))) {
    bad_argument(kNearest,
                 fmt::format("the layer's absmax is {}; a finite value >= 0 is expected", tile.absmax));
  }
}

}  // namespace

void CudaLane::quantize_nearest(const octavo_tile& tile, octavo_tile_result& result) {
  enter();
  const bool is_cast = tile.grid != nullptr && tile.grid->code == OCTAVO_CODE_CAST;
  if (!is_cast) check_tile(tile);
  const View source = float_view(tile.source, kNearest, "source");
  const std::int64_t rows = wants_rows(result) ? source.rows : 0;
  report(rows, tile_delivery(result, rows), [&](const Launch& launch, double* row_errors) {
    if (is_cast)
      cast_tile(tile, launch, row_errors);
    else if (takes_int8_path(tile, launch.residency, row_errors != nullptr))
      nearest_int8(tile, launch, row_errors);
    else
      nearest_any(tile, launch, row_errors);
  });
  if (tile.bias_delta.data == nullptr) return;
  check(cudaMemsetAsync(tile.bias_delta.data, 0, static_cast<std::size_t>(source.rows) * sizeof(float),
                        stream_),
        kNearest, "bias");
  last_nearest_ = {};
}

void CudaLane::cast_tile(const octavo_tile& tile, const Launch& launch, double* row_errors) {
  if (tile.grid->basis != OCTAVO_BASIS_PLAIN) unsupported(kNearest, "a cast in a basis other than plain");
  const View source = view_of(tile.source);
  const View codes =
      checked_view(tile.codes, tile.grid->stored_dtype, source.rows, source.cols, kNearest, "codes");
  float_view(tile.codes, kNearest, "codes");
  cast_values(launch, {source, codes, tile.flags, true, row_errors});
}

bool CudaLane::can_read_early(const View& source) const {
  return last_nearest_.operation != 0 && last_nearest_.operation + 1 == operation_ &&
         !overlap(source, last_nearest_.codes) && !overlap(source, last_nearest_.scales);
}

namespace {

// With the tile's own source and codes.
NearestJob int8_job(const octavo_tile& tile, double* row_errors) {
  const octavo_grid& grid = *tile.grid;
  const octavo_scale_level& level = grid.scales[0];
  const View codes = view_of(tile.codes);
  NearestJob job{};
  job.source = view_of(tile.source);
  job.codes = static_cast<std::int8_t*>(codes.data);
  job.codes_stride = codes.stride;
  job.basis_group = basis_group(grid, kNearest);
  job.qmax = static_cast<float>(grid.qmax);
  job.floor = level.floor;
  job.row_errors = row_errors;
  if (level.granularity == OCTAVO_PER_TENSOR) {
    job.scale = scale_of(tile.absmax, grid.qmax, level.floor);
    return job;
  }
  const ScaleShape shape = scale_shape(level, codes.rows, codes.cols);
  const View scales = checked_view(tile.scales[0], OCTAVO_F32, shape.rows, shape.cols, kNearest, "scales");
  job.scales = static_cast<float*>(scales.data);
  job.scales_stride = scales.stride;
  return job;
}

}  // namespace

void CudaLane::nearest_int8(const octavo_tile& tile, const Launch& launch, double* row_errors) {
  const View codes = view_of(tile.codes);
  NearestJob job = int8_job(tile, row_errors);
  const std::int64_t width = (codes.cols + 7) / 8 * 8;
  std::optional<Scratch<float>> values;
  if (reads_directly(job.source)) {
    job.reads_early = can_read_early(job.source);
  } else {
    values.emplace(scratch<float>(job.source.rows * width, kNearest));
    const View wide{values->get(), OCTAVO_F32, job.source.rows, width, width};
    change_basis(launch, {job.source, wide, 0, OCTAVO_F32, false});
    job.source = {values->get(), OCTAVO_F32, job.source.rows, job.source.cols, width};
  }
  std::optional<Scratch<std::int8_t>> aligned;
  if (!writes_directly(codes, job.basis_group)) {
    aligned.emplace(scratch<std::int8_t>(codes.rows * width, kNearest));
    job.codes = aligned->get();
    job.codes_stride = width;
  }
  const bool by_rows = tile.grid->scales[0].granularity != OCTAVO_PER_BLOCK;
  by_rows ? nearest_rows(launch, job) : nearest_blocks(launch, job);
  if (!aligned) {
    if (by_rows)
      last_nearest_ = {operation_, codes, job.scales == nullptr ? View{} : view_of(tile.scales[0])};
    return;
  }
  check(cudaMemcpy2DAsync(codes.data, static_cast<std::size_t>(codes.stride), job.codes,
                          static_cast<std::size_t>(job.codes_stride), static_cast<std::size_t>(codes.cols),
                          static_cast<std::size_t>(codes.rows), cudaMemcpyDeviceToDevice, launch.stream),
        kNearest, "codes");
}

std::vector<Scratch<float>> CudaLane::lay_out_levels(const octavo_tile& tile, CellsJob& job,
                                                     const char* operation) {
  const octavo_grid& grid = *tile.grid;
  std::vector<Scratch<float>> levels;
  job.level_count = static_cast<int>(grid.scale_levels);
  for (std::uint32_t i = 0; i < grid.scale_levels; ++i) {
    LevelPlan& plan = job.levels[i] = level_plan(grid, i, job.codes.rows, job.codes.cols);
    levels.push_back(scratch<float>(plan.rows * plan.cols, operation));
    plan.values = levels.back().get();
  }
  if (grid.code == OCTAVO_CODE_INTEGER_ZERO) {
    const LevelPlan& plan = job.levels[0];
    const View stored =
        checked_view(tile.zero_points, grid.zero_point_dtype, plan.rows, plan.cols, operation, "zero_points");
    levels.push_back(scratch<float>(plan.rows * plan.cols, operation));
    job.zero = {stored.data, stored.stride, stored.dtype, levels.back().get()};
  }
  return levels;
}

namespace {

// Where level `index` of the tile is stored.
void point_at_stored(const octavo_tile& tile, CellsJob& job, std::uint32_t index, const char* operation) {
  LevelPlan& plan = job.levels[index];
  const View stored = checked_view(tile.scales[index], plan.dtype, plan.rows, plan.cols, operation, "scales");
  plan.stored = stored.data;
  plan.stride = stored.stride;
}

}  // namespace

void CudaLane::nearest_any(const octavo_tile& tile, const Launch& launch, double* row_errors) {
  const octavo_grid& grid = *tile.grid;
  CellsJob job{};
  job.codes = view_of(tile.codes);
  job.code = code_plan(grid);
  job.row_errors = row_errors;
  const View source = view_of(tile.source);
  job.source_rows = source.rows;
  const Scratch<float> values = scratch<float>(job.codes.rows * job.codes.cols, kNearest);
  job.values = values.get();
  const std::vector<Scratch<float>> levels = lay_out_levels(tile, job, kNearest);
  const View target{job.values, OCTAVO_F32, job.codes.rows, job.codes.cols, job.codes.cols};
  change_basis(launch, {source, target, basis_group(grid, kNearest), OCTAVO_F32, true});
  for (std::uint32_t i = grid.scale_levels; i-- > 0;) {
    const bool whole = grid.scales[i].granularity == OCTAVO_PER_TENSOR;
    if (!whole) point_at_stored(tile, job, i, kNearest);
    if (grid.code == OCTAVO_CODE_INTEGER_ZERO)
      make_ranges(launch, job);
    else if (whole)
      make_whole_scale(launch, job, static_cast<int>(i), tile.absmax);
    else
      make_scales(launch, job, static_cast<int>(i));
  }
  make_codes(launch, job);
}

void CudaLane::absmax(const octavo_grid* grid, const octavo_tensor& source, std::uint32_t /*flags*/,
                      octavo_absmax_result& result) {
  constexpr const char* kOperation = "absmax";
  enter();
  const View view = float_view(source, kOperation, "source");
  AbsmaxJob job{view, view.cols, 0, -1};
  if (grid != nullptr) {
    if (grid->basis == OCTAVO_BASIS_CONVROT) job.cols = std::max(view.cols, grid->cols);
    job.group = basis_group(*grid, job.cols, kOperation);
    if (job.group > 256)
      unsupported(kOperation, fmt::format("groups of {} columns; at most 256 are supported", job.group));
    if (grid->code == OCTAVO_CODE_CAST && is_weight_dtype(grid->stored_dtype))
      job.overflow = grid->stored_dtype;
  }
  const auto deliver = [&result](const Findings& found, const double*) {
    result.absmax = found.absmax;
    result.nonfinite_count = found.nonfinite;
    result.nonfinite_first = found.first;
    result.overflow_count = found.overflow;
  };
  report(0, deliver, [&](const Launch& launch, double*) { find_absmax(launch, job); });
}

void CudaLane::change_basis_of(const char* operation, const octavo_grid& grid, const octavo_tensor& source,
                               octavo_tensor& target) {
  enter();
  const View from = float_view(source, operation, "source");
  const View to = checked_view(target, operation, "target");
  checked_view(target, OCTAVO_F32, from.rows, to.cols, operation, "target");
  const std::int64_t group = basis_group(grid, std::max(from.cols, to.cols), operation);
  if (to.rows == 0 || to.cols == 0) return;
  change_basis(launch(), {from, to, group, OCTAVO_F32, false});
}

void CudaLane::to_basis(const octavo_grid& grid, const octavo_tensor& source, octavo_tensor& target) {
  change_basis_of("to_basis", grid, source, target);
}

void CudaLane::from_basis(const octavo_grid& grid, const octavo_tensor& source, octavo_tensor& target) {
  change_basis_of("from_basis", grid, source, target);
}

void CudaLane::dequantize(const octavo_tile& tile, bool plain, octavo_tensor& target) {
  constexpr const char* kOperation = "dequantize";
  enter();
  if (tile.grid == nullptr) bad_argument(kOperation, "no grid");
  const octavo_grid& grid = *tile.grid;
  const View codes = checked_view(tile.codes, kOperation, "codes");
  checked_view(tile.codes, grid.stored_dtype, codes.rows, codes.cols, kOperation, "codes");
  const View to = checked_view(target, OCTAVO_F32, codes.rows, codes.cols, kOperation, "target");
  const std::int64_t group = plain ? basis_group(grid, codes.cols, kOperation) : 0;
  const bool is_empty = codes.rows == 0 || codes.cols == 0;
  if (grid.code == OCTAVO_CODE_CAST) {
    const View from = float_view(tile.codes, kOperation, "codes");
    if (!is_empty) change_basis(launch(), {from, to, group, OCTAVO_F32, false});
    return;
  }
  check_codes(grid, kOperation);
  check_levels(grid, kOperation);
  CellsJob job{};
  job.codes = codes;
  job.code = code_plan(grid);
  const std::vector<Scratch<float>> levels = lay_out_levels(tile, job, kOperation);
  for (std::uint32_t i = 0; i < grid.scale_levels; ++i) point_at_stored(tile, job, i, kOperation);
  if (is_empty) return;
  load_levels(launch(), job);
  read_codes(launch(), job, to);
  if (group != 0) change_basis(launch(), {to, to, group, OCTAVO_F32, false});
}

void CudaLane::error_sums(const octavo_tensor& a, const octavo_tensor& b, octavo_error_sums& sums) {
  constexpr const char* kOperation = "error_sums";
  enter();
  const View left = float_view(a, kOperation, "a");
  float_view(b, kOperation, "b");
  const View right = checked_view(b, b.dtype, left.rows, left.cols, kOperation, "b");
  const auto deliver = [&sums](const Findings& found, const double*) {
    sums.max_error = found.max_error;
    sums.error_sum = found.error_sum;
    sums.signal_sum = found.signal_sum;
  };
  report(0, deliver, [&](const Launch& launch, double*) { sum_errors(launch, left, right); });
}

void CudaLane::cast(const octavo_tensor& source, octavo_tensor& target, std::uint32_t flags,
                    octavo_cast_result& result) {
  constexpr const char* kOperation = "cast";
  enter();
  const View from = float_view(source, kOperation, "source");
  float_view(target, kOperation, "target");
  const View to = checked_view(target, target.dtype, from.rows, from.cols, kOperation, "target");
  const auto deliver = [&result](const Findings& found, const double*) {
    result.overflow_count = found.overflow;
    result.underflow_count = found.underflow;
  };
  report(0, deliver, [&](const Launch& launch, double*) {
    cast_values(launch, {from, to, flags, false, nullptr});
  });
}

void CudaLane::merge_low_rank(const octavo_tensor& source, const octavo_tensor& up, const octavo_tensor& down,
                              float strength, octavo_tensor& target) {
  constexpr const char* kOperation = "merge_low_rank";
  enter();
  const View from = float_view(source, kOperation, "source");
  const std::int64_t rank = view_of(up).cols;
  const View left = checked_view(up, OCTAVO_F32, from.rows, rank, kOperation, "up");
  const View right = checked_view(down, OCTAVO_F32, rank, from.cols, kOperation, "down");
  const View to = checked_view(target, OCTAVO_F32, from.rows, from.cols, kOperation, "target");
  cuda::merge_low_rank(launch(), from, left, right, strength, to);
}

}  // namespace octavo::cuda
