// Casts. A finite value whose rounding lies beyond the target is an overflow: it becomes the dtype's infinity
// or NaN, or with OCTAVO_TILE_CLAMP_OVERFLOW its largest finite value. A non-zero value that rounds to 0 is
// an underflow. An F64 value beyond f32 is an overflow here (its sign is kept), not an infinity.
#include "reference/cast.hpp"

#include "reference/convert.hpp"
#include "reference/nearest.hpp"
#include "reference/view.hpp"

#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <algorithm>
#include <cmath>

namespace octavo::reference {
namespace {

struct Cast {
  float source;  // as f32
  float stored;  // what the target holds, as f32
  bool finite;   // the source is
  bool overflow;
  bool underflow;
};

bool is_finite_at(const octavo_tensor& view, std::int64_t index, float as_f32) {
  return view.dtype == OCTAVO_F64 ? std::isfinite(static_cast<const double*>(view.data)[index])
                                  : std::isfinite(as_f32);
}

bool is_zero_at(const octavo_tensor& view, std::int64_t index, float as_f32) {
  return view.dtype == OCTAVO_F64 ? static_cast<const double*>(view.data)[index] == 0.0 : as_f32 == 0.0f;
}

// Writes element [row, col] of `target` from that of `source`.
Cast cast_element(const octavo_tensor& source, const octavo_tensor& target, std::int64_t row,
                  std::int64_t col, std::uint32_t flags) {
  const std::int64_t from = row * source.row_stride + col;
  const std::int64_t to = row * target.row_stride + col;
  float value = load(source.data, source.dtype, from);
  Cast done{value, 0.0f, is_finite_at(source, from, value), false, false};
  if (source.dtype == OCTAVO_F64 && target.dtype == OCTAVO_F64) {
    const double wide = static_cast<const double*>(source.data)[from];
    static_cast<double*>(target.data)[to] =
        done.finite || (flags & OCTAVO_TILE_ZERO_NONFINITE) == 0 ? wide : 0.0;
    done.stored = done.finite ? value : 0.0f;
    return done;
  }
  if (!done.finite && (flags & OCTAVO_TILE_ZERO_NONFINITE) != 0) value = 0.0f;
  done.stored = rounded_to(target.dtype, value);
  done.overflow = done.finite && !std::isfinite(done.stored);
  done.underflow = done.finite && done.stored == 0.0f && !is_zero_at(source, from, value);
  if (done.overflow && (flags & OCTAVO_TILE_CLAMP_OVERFLOW) != 0)
    value = done.stored = std::copysign(largest_finite(target.dtype), value);
  store(value, target.dtype, target.data, to);
  return done;
}

Extent check_cast(const char* operation, const octavo_tensor& source, const octavo_tensor& target,
                  const char* target_name) {
  const Extent size = extent(source, operation, "source");
  expect_float(source, operation, "source");
  expect_float(target, operation, target_name);
  expect(target, target.dtype, size, operation, target_name);
  return size;
}

void add_errors(const Cast& done, double& row_error, octavo_tile_result& result) {
  if (!std::isfinite(done.source) || !std::isfinite(done.stored)) return;
  const double error = double{done.stored} - double{done.source};
  row_error += error * error;
  result.signal_sum += double{done.source} * double{done.source};
  result.max_error = std::max(result.max_error, static_cast<float>(std::fabs(error)));
}

}  // namespace

void cast_tile(const octavo_tile& tile, octavo_tile_result& result) {
  constexpr const char* kOperation = "quantize_nearest";
  if (tile.grid->basis != OCTAVO_BASIS_PLAIN) unsupported(kOperation, "a cast in a basis other than plain");
  if (tile.grid->stored_dtype != tile.codes.dtype)
    bad_argument(kOperation, "codes of another dtype than the grid's");
  const Extent size = check_cast(kOperation, tile.source, tile.codes, "codes");
  for (std::int64_t r = 0; r < size.rows; ++r) {
    double row_error = 0.0;
    for (std::int64_t c = 0; c < size.cols; ++c) {
      const Cast done = cast_element(tile.source, tile.codes, r, c, tile.flags);
      if (!done.finite && result.nonfinite_count++ == 0) result.nonfinite_first = r * size.cols + c;
      result.overflow_count += done.overflow;
      result.underflow_count += done.underflow;
      add_errors(done, row_error, result);
    }
    result.error_sum += row_error;
    if (result.row_metric != nullptr) result.row_metric[r] = row_error;
    if (result.row_nearest_metric != nullptr) result.row_nearest_metric[r] = row_error;
  }
}

octavo_status cast(octavo_lane*, const octavo_tensor* source, octavo_tensor* target, std::uint32_t flags,
                   octavo_cast_result* result, octavo_error* error) {
  return detail::guard(error, [&] {
    const Extent size = check_cast("cast", *source, *target, "target");
    result->overflow_count = 0;
    result->underflow_count = 0;
    for (std::int64_t r = 0; r < size.rows; ++r) {
      for (std::int64_t c = 0; c < size.cols; ++c) {
        const Cast done = cast_element(*source, *target, r, c, flags);
        result->overflow_count += done.overflow;
        result->underflow_count += done.underflow;
      }
    }
  });
}

}  // namespace octavo::reference
