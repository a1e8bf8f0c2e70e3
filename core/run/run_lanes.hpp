// Setting lanes to work on a list of pieces: what a conversion and a measuring pass share.
#pragma once

#include "run/run.hpp"
#include "run/run_shared.hpp"
#include "run/work.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace octavo::run {

struct LaneNeeds {
  uint32_t lanes = 1;
  uint32_t preparing = 1;  // so many of them prepare layers
  uint32_t slots = 1;
  uint64_t slot_bytes = 0;
};

// What `options` and the backend make for the plan's work in so many pieces.
LaneNeeds lane_needs(const RunShared& shared, const RunOptions& options, const ChosenDevice& device,
                     size_t pieces);

// Opens the lanes, lets them take `items` in order, and returns when all are done. Where the device is lost
// or has no memory its fallback carries on, and `device` is that afterwards. Throws the first error of any
// lane.
void run_lanes(RunShared& shared, const std::vector<WorkItem>& items, ChosenDevice& device,
               plugin::HostServices& services, const LaneNeeds& needs, const RunOptions& options,
               uint64_t bytes_total);

}  // namespace octavo::run
