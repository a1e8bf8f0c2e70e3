// One band of rows of a layer, judged on one lane: outputs as they should be, as the stored band makes them,
// and as nearest would.
#pragma once

#include "report/output_error.hpp"
#include "stored/band_lane.hpp"
#include "stored/band_source.hpp"
#include "stored/survey.hpp"

#include <octavo/abi/grid.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace octavo::report {

// Codes and scales of a band, in host memory and in the lane's.
struct Parts {
  std::vector<std::byte> codes, scales[2], zero_points;
  stored::LaneBuffer lane_codes, lane_scales[2], lane_zero_points;
  octavo_tile tile{};  // views of the lane's memory
};

// One thread's lane and what it works in. The lane is closed last.
struct JudgeWorker {
  explicit JudgeWorker(stored::BandLane opened) : lane(std::move(opened)) {}
  stored::BandLane lane;
  stored::BandBuffers reference;
  Parts stored, nearest;
  stored::LaneBuffer x, x_stored, weights, y, y_weights, y_both;
};

// The layer that a band belongs to.
struct JudgedLayer {
  const checkpoint::Checkpoint& file;  // that holds `stored`
  const stored::Layer& stored;
  const stored::BandSource& reference;
  float absmax = 0;  // of the reference, in the grid's basis, where one scale is the whole layer's
  bool has_w8a8 = false;
};

// What a layer is given, [samples, cols], by the reference and by the file that is judged; the two differ
// where that was smoothed.
struct JudgedInputs {
  const InputRows& reference;
  const InputRows& stored;
};

struct BandVerdict {
  double signal = 0;
  OutputErrors stored = {};
  OutputErrors nearest = {};
  bool is_nearest = true;
};

// Rows [begin, begin + count), a multiple of the grid's row_multiple unless they reach the end. Throws Error
// as reading and the lane do.
BandVerdict judge_band(const JudgedLayer& layer, const JudgedInputs& inputs, int64_t begin, int64_t count,
                       JudgeWorker& worker);

}  // namespace octavo::report
