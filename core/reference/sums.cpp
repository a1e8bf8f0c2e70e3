// Sums of squared differences, in f64.
#include "reference/algebra.hpp"
#include "reference/convert.hpp"
#include "reference/view.hpp"

#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

namespace octavo::reference {

octavo_status error_sums(octavo_lane*, const octavo_tensor* a, const octavo_tensor* b,
                         octavo_error_sums* sums, octavo_error* error) {
  return detail::guard(error, [&] {
    constexpr const char* kOperation = "error_sums";
    const Extent size = extent(*a, kOperation, "a");
    expect_float(*a, kOperation, "a");
    expect_float(*b, kOperation, "b");
    expect(*b, b->dtype, size, kOperation, "b");
    sums->max_error = 0.0f;
    sums->error_sum = 0.0;
    sums->signal_sum = 0.0;
    std::vector<float> left(static_cast<std::size_t>(size.cols)), right(left.size());
    for (std::int64_t r = 0; r < size.rows; ++r) {
      load_row(*a, r, left);
      load_row(*b, r, right);
      for (std::size_t c = 0; c < left.size(); ++c) {
        const double difference = double{left[c]} - double{right[c]};
        sums->error_sum += difference * difference;
        sums->signal_sum += double{left[c]} * double{left[c]};
        sums->max_error = std::max(sums->max_error, static_cast<float>(std::fabs(difference)));
      }
    }
  });
}

octavo_status row_metric(octavo_lane*, const octavo_tensor* x, const octavo_tensor* pivots,
                         octavo_tensor* metric, octavo_error* error) {
  return detail::guard(error, [&] {
    constexpr const char* kOperation = "row_metric";
    const Extent size = extent(*x, kOperation, "x");
    expect(*x, OCTAVO_F32, size, kOperation, "x");
    expect(*pivots, OCTAVO_F32, {1, size.cols}, kOperation, "pivots");
    expect(*metric, OCTAVO_F64, {size.rows, 1}, kOperation, "metric");
    const float* weights = row_of<float>(*pivots, 0);
    for (std::int64_t r = 0; r < size.rows; ++r) {
      const float* row = row_of<float>(*x, r);
      double sum = 0.0;
      for (std::int64_t k = 0; k < size.cols; ++k) sum += double{weights[k]} * row[k] * row[k];
      *row_of<double>(*metric, r) += sum;
    }
  });
}

}  // namespace octavo::reference
