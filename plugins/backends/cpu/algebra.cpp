#include "algebra.hpp"

#include "source_rows.hpp"

#include <octavo/grid.hpp>
#include <octavo/tensor.hpp>

#include <algorithm>
#include <cstring>

namespace octavo::cpu {
namespace {

std::size_t to_size(std::int64_t value) { return static_cast<std::size_t>(value); }

// `down` as [column panels][rank][merge_cols], the last panel padded with zeros.
const float* pack_panels(LaneTools& tools, const octavo_tensor& down) {
  const std::int64_t width = static_cast<std::int64_t>(tools.algebra.widths.merge_cols);
  const std::int64_t rank = down.shape[0], cols = down.shape[1];
  const std::int64_t panels = (cols + width - 1) / width;
  float* const packed = tools.other.floats(to_size(panels * rank * width));
  for (std::int64_t panel = 0; panel < panels; ++panel) {
    const std::int64_t count = std::min(width, cols - panel * width);
    for (std::int64_t i = 0; i < rank; ++i) {
      float* to = packed + (panel * rank + i) * width;
      std::copy_n(row_of<float>(down, i) + panel * width, count, to);
      std::fill(to + count, to + width, 0.0f);
    }
  }
  return packed;
}

// The block of a layer that a feedback operation is about, with its scales by row and column.
class FeedbackScales {
 public:
  explicit FeedbackScales(const octavo_feedback& feedback)
      : feedback_(feedback), level_(feedback.grid->scales[0]) {}

  // Every scale that the block asks for is in the view and at least the smallest normal.
  bool usable() const {
    if (feedback_.scales.dtype != OCTAVO_F32 || feedback_.scales.rank != 2) return false;
    const std::int64_t rows = feedback_.source.shape[0], cols = feedback_.source.shape[1];
    if (rows == 0 || cols == 0) return true;
    if (row_index(rows - 1) >= feedback_.scales.shape[0] || col_index(cols - 1) >= feedback_.scales.shape[1])
      return false;
    for (std::int64_t r = row_index(0); r <= row_index(rows - 1); ++r) {
      for (std::int64_t c = col_index(0); c <= col_index(cols - 1); ++c) {
        if (!(row_of<float>(feedback_.scales, r)[c] > 0.0f)) return false;
      }
    }
    return true;
  }

  float at(std::int64_t row, std::int64_t col) const {
    return row_of<float>(feedback_.scales, row_index(row))[col_index(col)];
  }

 private:
  std::int64_t row_index(std::int64_t row) const {
    if (level_.granularity == OCTAVO_PER_TENSOR) return 0;
    const std::int64_t layer_row = feedback_.row_begin + row;
    return level_.granularity == OCTAVO_PER_BLOCK ? layer_row / level_.block_rows : layer_row;
  }
  std::int64_t col_index(std::int64_t col) const {
    const bool blocks = level_.granularity == OCTAVO_PER_BLOCK || level_.granularity == OCTAVO_PER_GROUP;
    return blocks ? (feedback_.col_begin + col) / level_.block_cols : 0;
  }

  const octavo_feedback& feedback_;
  const octavo_scale_level& level_;
};

bool can_round(const octavo_feedback& feedback) {
  if (feedback.grid == nullptr || feedback.source.rank != 2) return false;
  const octavo_grid& grid = *feedback.grid;
  const octavo_scale_level& level = grid.scales[0];
  const std::int64_t rows = feedback.source.shape[0], cols = feedback.source.shape[1];
  if (grid.code != OCTAVO_CODE_INTEGER || grid.stored_dtype != OCTAVO_I8 || grid.scale_levels != 1 ||
      grid.qmin < -128 || grid.qmax > 127 || grid.qmin >= grid.qmax)
    return false;
  if ((level.granularity == OCTAVO_PER_BLOCK && level.block_rows < 1) ||
      ((level.granularity == OCTAVO_PER_BLOCK || level.granularity == OCTAVO_PER_GROUP) &&
       level.block_cols < 1))
    return false;
  return is_matrix(feedback.source, OCTAVO_F32, rows, cols) &&
         (feedback.fed.data == nullptr || is_matrix(feedback.fed, OCTAVO_F32, rows, cols)) &&
         (feedback.factor.data == nullptr || is_matrix(feedback.factor, OCTAVO_F32, cols, cols)) &&
         (feedback.pivots.data == nullptr || (is_matrix(feedback.pivots, OCTAVO_F32, 1, cols) &&
                                              is_matrix(feedback.metric, OCTAVO_F64, rows, 1))) &&
         is_matrix(feedback.codes, OCTAVO_I8, rows, cols) &&
         is_matrix(feedback.residual, OCTAVO_F32, rows, cols) && FeedbackScales(feedback).usable();
}

// Rows as lanes: [cols][lanes] of a view's rows from `first` on. Lanes beyond the last row stay as they are.
void transpose_in(const octavo_tensor& view, std::int64_t first, std::int64_t rows, std::int64_t lanes,
                  float* to) {
  for (std::int64_t r = 0; r < rows; ++r) {
    const float* from = row_of<float>(view, first + r);
    for (std::int64_t c = 0; c < view.shape[1]; ++c) to[c * lanes + r] = from[c];
  }
}

// Adds a view's rows from `first` on to what transpose_in has laid out.
void transpose_add(const octavo_tensor& view, std::int64_t first, std::int64_t rows, std::int64_t lanes,
                   float* to) {
  for (std::int64_t r = 0; r < rows; ++r) {
    const float* from = row_of<float>(view, first + r);
    for (std::int64_t c = 0; c < view.shape[1]; ++c) to[c * lanes + r] += from[c];
  }
}

// Rounds rows [first, first + rows), rows <= lanes. `scratch`: four arrays of [cols][lanes] and one of
// [lanes].
void round_lanes(const AlgebraKernels& kernels, const octavo_feedback& feedback, const FeedbackScales& scales,
                 std::int64_t first, std::int64_t rows, float* scratch) {
  const std::int64_t lanes = static_cast<std::int64_t>(kernels.widths.feedback_rows);
  const std::int64_t cols = feedback.source.shape[1];
  float *source = scratch, *work = source + cols * lanes, *scale = work + cols * lanes,
        *residual = scale + cols * lanes, *metric = residual + cols * lanes;
  if (rows < lanes) {
    std::fill(source, scale, 0.0f);
    std::fill(scale, residual, 1.0f);
  }
  transpose_in(feedback.source, first, rows, lanes, source);
  std::copy(source, source + cols * lanes, work);
  if (feedback.fed.data != nullptr) transpose_add(feedback.fed, first, rows, lanes, work);
  for (std::int64_t c = 0; c < cols; ++c) {
    for (std::int64_t r = 0; r < rows; ++r) scale[c * lanes + r] = scales.at(first + r, c);
  }
  const bool has_metric = feedback.pivots.data != nullptr;
  kernels.round_rows({to_size(cols), row_of<float>(feedback.factor, 0), feedback.factor.row_stride, source,
                      scale, static_cast<float>(feedback.grid->qmin), static_cast<float>(feedback.grid->qmax),
                      has_metric ? row_of<float>(feedback.pivots, 0) : nullptr, work, residual, metric});
  for (std::int64_t r = 0; r < rows; ++r) {
    std::int8_t* codes = row_of<std::int8_t>(feedback.codes, first + r);
    float* left = row_of<float>(feedback.residual, first + r);
    for (std::int64_t c = 0; c < cols; ++c) {
      codes[c] = static_cast<std::int8_t>(work[c * lanes + r]);
      left[c] = residual[c * lanes + r];
    }
    if (has_metric) *row_of<double>(feedback.metric, first + r) += double{metric[r]};
  }
}

void round_block(LaneTools& tools, const octavo_feedback& feedback) {
  const std::int64_t lanes = static_cast<std::int64_t>(tools.algebra.widths.feedback_rows);
  const std::int64_t rows = feedback.source.shape[0], cols = feedback.source.shape[1];
  const FeedbackScales scales(feedback);
  float* const scratch = tools.other.floats(to_size((4 * cols + 1) * lanes));
  for (std::int64_t row = 0; row < rows; row += lanes)
    round_lanes(tools.algebra, feedback, scales, row, std::min(lanes, rows - row), scratch);
}

octavo_tensor columns(const octavo_tensor& view, std::int64_t begin, std::int64_t count) {
  octavo_tensor part = view;
  if (view.data == nullptr) return part;
  part.data = static_cast<char*>(view.data) + begin * static_cast<std::int64_t>(bytes_of(view.dtype));
  part.shape[1] = count;
  return part;
}

// Columns that do not depend on one another, as many at a time as the cache holds.
void round_alone(LaneTools& tools, const octavo_feedback& feedback) {
  constexpr std::int64_t kCols = 128;
  for (std::int64_t begin = 0; begin < feedback.source.shape[1]; begin += kCols) {
    const std::int64_t count = std::min(kCols, feedback.source.shape[1] - begin);
    octavo_feedback part = feedback;
    part.col_begin += begin;
    for (octavo_tensor octavo_feedback::*view :
         {&octavo_feedback::source, &octavo_feedback::fed, &octavo_feedback::codes,
          &octavo_feedback::residual, &octavo_feedback::pivots})
      part.*view = columns(feedback.*view, begin, count);
    round_block(tools, part);
  }
}

}  // namespace

bool sum_differences(LaneTools& tools, const octavo_tensor& a, const octavo_tensor& b,
                     octavo_error_sums& sums) {
  if (a.rank != 2 || !is_weight_dtype(a.dtype) || !is_weight_dtype(b.dtype) || a.dtype == OCTAVO_F64 ||
      b.dtype == OCTAVO_F64 || !is_matrix(b, b.dtype, a.shape[0], a.shape[1]))
    return false;
  const SourceRows left(a, tools.values, tools.decoded), right(b, tools.values, tools.other);
  sums.max_error = 0.0f;
  sums.error_sum = sums.signal_sum = 0.0;
  for (std::int64_t r = 0; r < a.shape[0]; ++r) {
    const Values from = left.row(r), against = right.row(r);
    const DifferenceSums row =
        tools.values.differences(from.data, from.dtype, against.data, against.dtype, from.cols);
    sums.error_sum += row.error;
    sums.signal_sum += row.signal;
    sums.max_error = std::max(sums.max_error, row.largest);
  }
  return true;
}

bool merge_low_rank(LaneTools& tools, const octavo_tensor& source, const octavo_tensor& up,
                    const octavo_tensor& down, float strength, const octavo_tensor& target) {
  if (source.rank != 2 || up.rank != 2 || !is_weight_dtype(source.dtype)) return false;
  const std::int64_t rows = source.shape[0], cols = source.shape[1], rank = up.shape[1];
  if (!is_matrix(up, OCTAVO_F32, rows, rank) || !is_matrix(down, OCTAVO_F32, rank, cols) ||
      !is_matrix(target, OCTAVO_F32, rows, cols))
    return false;
  const SourceRows from(source, tools.values, tools.decoded);
  const float* const panels = pack_panels(tools, down);
  const std::int64_t width = static_cast<std::int64_t>(tools.algebra.widths.merge_cols);
  constexpr std::int64_t kBand = 16;  // rows that stay in the cache while the panels go by
  for (std::int64_t row = 0; row < rows; row += kBand) {
    const std::int64_t height = std::min(kBand, rows - row);
    for (std::int64_t r = row; r < row + height; ++r) from.copy_row(r, row_of<float>(target, r));
    for (std::int64_t col = 0; col < cols; col += width) {
      float* to = row_of<float>(target, row) + col;
      tools.algebra.merge({row_of<float>(up, row), up.row_stride, panels + col / width * rank * width,
                           to_size(rank), to_size(height), to_size(std::min(width, cols - col)), strength, to,
                           target.row_stride, to, target.row_stride});
    }
  }
  return true;
}

bool round_with_feedback(LaneTools& tools, const octavo_feedback& feedback) {
  if (!can_round(feedback)) return false;
  if (feedback.factor.data == nullptr)
    round_alone(tools, feedback);
  else
    round_block(tools, feedback);
  return true;
}

}  // namespace octavo::cpu
