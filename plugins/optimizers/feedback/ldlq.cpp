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

// Columns [begin, end), and what is fed to them.
struct Group {
  std::int64_t begin, end;
  octavo_tensor fed;  // [rows, end - begin]
  bool is_fed;        // from the right
};

// Columns [begin, end) of the group; those right of them are done.
void round_block(octavo_lane& lane, const Band& band, const Triangle& triangle, const Group& group,
                 std::int64_t begin, std::int64_t end, RowMetric& metric) {
  const std::int64_t width = end - begin, done = group.end - end;
  octavo_feedback feedback = columns_of(band, begin, width);
  feedback.factor = triangle.part(begin, width, begin, width);
  feedback.pivots = metric.pivots(begin, width);
  feedback.metric = metric.view();
  if (group.is_fed || done > 0) feedback.fed = cols_of(group.fed, begin - group.begin, width);
  if (done > 0) {
    const auto feed = group.is_fed ? multiply_add : multiply;
    feed(lane, cols_of(band.residual, end, done), triangle.part(end, done, begin, width), feedback.fed);
  }
  issue(lane, &octavo_operations::round_feedback, static_cast<const octavo_feedback*>(&feedback));
}

}  // namespace

RowMetric round_with_feedback(octavo_lane& lane, const Band& band, const Triangle& triangle,
                              std::int64_t block, std::int64_t group) {
  const std::int64_t rows = band.weight.shape[0], cols = band.weight.shape[1];
  RowMetric metric(lane, rows, triangle.pivots);
  LaneMatrix fed(lane, OCTAVO_F32, rows, std::min(group, cols));
  Feed feed(lane, triangle, band.residual);
  for (std::int64_t group_end = cols; group_end > 0;) {
    // Only the rightmost group may be narrower, and in it the rightmost block.
    const std::int64_t group_begin = (group_end - 1) / group * group;
    Group columns{group_begin, group_end, cols_of(fed.view(), 0, group_end - group_begin), false};
    columns.is_fed = feed.into(group_begin, group_end, columns.fed);
    for (std::int64_t end = group_end; end > group_begin;) {
      check_cancelled(lane);
      const std::int64_t begin = (end - 1) / block * block;
      round_block(lane, band, triangle, columns, begin, end, metric);
      end = begin;
    }
    feed.take(group_begin, group_end);
    group_end = group_begin;
  }
  return metric;
}

RowMetric round_with_feedback(octavo_lane& lane, const Band& band, const Triangle& triangle,
                              std::int64_t block) {
  return round_with_feedback(lane, band, triangle, block_of(lane, block), triangle.group(lane, block));
}

void round_to_nearest(octavo_lane& lane, const Band& band) {
  const octavo_feedback all = columns_of(band, 0, band.weight.shape[1]);
  issue(lane, &octavo_operations::round_feedback, &all);
}

}  // namespace octavo::feedback
