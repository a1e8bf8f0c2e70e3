#include "feedback/ldlq.hpp"

#include "feedback/lane_steps.hpp"

#include <algorithm>

namespace octavo::feedback {
namespace {

// Columns [begin, begin + width) of a band, to be rounded without feedback.
octavo_feedback columns_of(const Band& band, std::int64_t begin, std::int64_t width) {
  octavo_feedback made{};
  made.struct_size = sizeof made;
  made.grid = &band.grid;
  made.col_begin = begin;
  made.source = cols_of(band.weight, begin, width);
  made.scales = band.scales;
  made.codes = cols_of(band.codes, begin, width);
  made.residual = cols_of(band.residual, begin, width);
  return made;
}

}  // namespace

RowMetric round_with_feedback(octavo_lane& lane, const Band& band, const Triangle& triangle,
                              std::int64_t block) {
  const std::int64_t rows = band.weight.shape[0], cols = band.weight.shape[1];
  RowMetric metric(lane, rows, triangle.pivots);
  LaneMatrix fed(lane, OCTAVO_F32, rows, std::min(block, cols));
  for (std::int64_t end = cols; end > 0;) {
    check_cancelled(lane);
    const std::int64_t width = (end - 1) % block + 1;  // only the rightmost block may be narrower
    const std::int64_t begin = end - width, right = cols - end;
    octavo_feedback feedback = columns_of(band, begin, width);
    feedback.factor = part_of(triangle.lower, begin, width, begin, width);
    feedback.pivots = metric.pivots(begin, width);
    feedback.metric = metric.view();
    if (right > 0) {
      feedback.fed = cols_of(fed.view(), 0, width);
      multiply(lane, cols_of(band.residual, end, right), part_of(triangle.lower, end, right, begin, width),
               feedback.fed);
    }
    issue(lane, &octavo_operations::round_feedback, static_cast<const octavo_feedback*>(&feedback));
    end = begin;
  }
  return metric;
}

void round_to_nearest(octavo_lane& lane, const Band& band) {
  const octavo_feedback all = columns_of(band, 0, band.weight.shape[1]);
  issue(lane, &octavo_operations::round_feedback, &all);
}

}  // namespace octavo::feedback
