#include "scale_search/scale_search.hpp"

#include <octavo/grid.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

namespace octavo::scale_search {
namespace {

constexpr double kLowest = 0.90;
constexpr double kHighest = 1.02;

// A matrix of floats of the lane in host memory: itself, or a copy.
std::vector<float> to_host(octavo_lane& lane, const octavo_tensor& matrix) {
  std::vector<float> copy(static_cast<std::size_t>(matrix.shape[0] * matrix.shape[1]));
  for (std::int64_t r = 0; r < matrix.shape[0]; ++r)
    copy_bytes(lane, copy.data() + r * matrix.shape[1], OCTAVO_MEMORY_HOST, row_of<float>(matrix, r),
               lane.memory, static_cast<std::uint64_t>(matrix.shape[1]) * sizeof(float));
  wait_for(lane);
  return copy;
}

// Sum of (w - code x scale)^2 over a row, code = clamp(rint(w / scale)) as nearest has it. Eight sums, over
// columns that are equal modulo eight, added up at last: one order for every compiler, and vectors can keep
// to it.
double error_of(const float* row, std::int64_t cols, float scale, const octavo_grid& grid) {
  const auto low = static_cast<float>(grid.qmin), high = static_cast<float>(grid.qmax);
  double sums[8] = {};
  const auto add = [&](std::int64_t col, double& sum) {
    const float code = std::min(std::max(std::nearbyint(row[col] / scale), low), high);
    const double error = double{row[col]} - double{code} * double{scale};
    sum += error * error;
  };
  std::int64_t col = 0;
  for (; col + 8 <= cols; col += 8) {
    for (std::int64_t i = 0; i < 8; ++i) add(col + i, sums[i]);
  }
  for (std::int64_t i = 0; col + i < cols; ++i) add(col + i, sums[i]);
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

struct RowScale {
  float scale;
  double error;
  double nearest_error;  // with the scale that it began with
};

RowScale best_scale(const float* row, std::int64_t cols, float scale, const octavo_grid& grid,
                    std::int64_t candidates) {
  const double error = error_of(row, cols, scale, grid);
  RowScale best{scale, error, error};
  for (std::int64_t i = 0; i < candidates && best.error > 0; ++i) {
    const double place = (static_cast<double>(i) + 0.5) / static_cast<double>(candidates);
    const auto factor = static_cast<float>(kLowest + (kHighest - kLowest) * place);
    const float candidate = std::max(scale * factor, grid.scales[0].floor);
    const double tried = error_of(row, cols, candidate, grid);
    if (tried < best.error) {
      best.error = tried;
      best.scale = candidate;
    }
  }
  return best;
}

// Weight and scales of a tile on the host, and the scales that were found.
class Search {
 public:
  Search(octavo_lane& lane, const octavo_grid& grid, const octavo_tensor& weight, const octavo_tensor& scales,
         std::int64_t candidates)
      : lane_(lane), weight_(weight), copy_(on_device(lane) ? to_host(lane, weight) : std::vector<float>()) {
    const std::vector<float> begun = to_host(lane, scales);
    for (std::int64_t r = 0; r < weight.shape[0]; ++r)
      found_.push_back(
          best_scale(row(r), weight.shape[1], begun[static_cast<std::size_t>(r)], grid, candidates));
  }

  const std::vector<RowScale>& found() const { return found_; }
  const float* row(std::int64_t r) const {
    return copy_.empty() ? row_of<float>(weight_, r) : copy_.data() + r * weight_.shape[1];
  }
  void store(const octavo_tensor& scales) const {
    for (std::size_t r = 0; r < found_.size(); ++r)
      copy_bytes(lane_, row_of<float>(scales, static_cast<std::int64_t>(r)), lane_.memory, &found_[r].scale,
                 OCTAVO_MEMORY_HOST, sizeof(float));
    wait_for(lane_);
  }

 private:
  octavo_lane& lane_;
  const octavo_tensor& weight_;
  std::vector<float> copy_;
  std::vector<RowScale> found_;
};

// Codes of one row and their largest error.
float write_codes(const float* row, std::int64_t cols, float scale, const octavo_grid& grid,
                  std::int8_t* codes) {
  float largest = 0.0f;
  for (std::int64_t c = 0; c < cols; ++c) {
    const float code = std::min(std::max(std::nearbyint(row[c] / scale), static_cast<float>(grid.qmin)),
                                static_cast<float>(grid.qmax));
    codes[c] = static_cast<std::int8_t>(code);
    largest = std::max(largest, std::fabs(row[c] - code * scale));
  }
  return largest;
}

}  // namespace

bool applies_to(const octavo_grid& grid) {
  return grid.code == OCTAVO_CODE_INTEGER && grid.stored_dtype == OCTAVO_I8 && grid.scale_levels == 1 &&
         grid.scales[0].granularity == OCTAVO_PER_ROW && grid.scales[0].dtype == OCTAVO_F32;
}

std::int64_t search(octavo_lane& lane, const octavo_grid& grid, const octavo_tensor& weight,
                    const octavo_tensor& scales, std::int64_t candidates) {
  const Search searched(lane, grid, weight, scales, candidates);
  searched.store(scales);
  return std::count_if(searched.found().begin(), searched.found().end(),
                       [](const RowScale& row) { return row.error < row.nearest_error; });
}

void quantize(octavo_lane& lane, const octavo_tile& tile, octavo_tile_result& result,
              std::int64_t candidates) {
  issue(lane, &octavo_operations::quantize_nearest, &tile, &result);
  wait_for(lane, tile.slot);
  if (result.nonfinite_count > 0) return;
  const octavo_grid& grid = *tile.grid;
  const std::int64_t rows = tile.codes.shape[0], cols = tile.codes.shape[1];
  LaneMatrix weight(lane, OCTAVO_F32, rows, cols);
  issue(lane, &octavo_operations::to_basis, &grid, &tile.source, &weight.view());
  wait_for(lane, tile.slot);
  const Search searched(lane, grid, weight.view(), tile.scales[0], candidates);
  searched.store(tile.scales[0]);
  std::vector<std::int8_t> codes(static_cast<std::size_t>(cols));
  result.error_sum = 0.0;
  result.max_error = 0.0f;
  for (std::int64_t r = 0; r < rows; ++r) {
    const RowScale& found = searched.found()[static_cast<std::size_t>(r)];
    result.max_error =
        std::max(result.max_error, write_codes(searched.row(r), cols, found.scale, grid, codes.data()));
    result.error_sum += found.error;
    copy_bytes(lane, row_of<std::int8_t>(tile.codes, r), lane.memory, codes.data(), OCTAVO_MEMORY_HOST,
               codes.size());
    if (on_device(lane)) wait_for(lane, tile.slot);
    if (r >= tile.source.shape[0]) continue;
    if (result.row_metric != nullptr) result.row_metric[r] = found.error;
    if (result.row_nearest_metric != nullptr) result.row_nearest_metric[r] = found.nearest_error;
  }
}

}  // namespace octavo::scale_search
