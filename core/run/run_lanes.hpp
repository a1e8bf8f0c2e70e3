// Setting lanes to work on a list of pieces: what a conversion and a measuring pass share.
#pragma once

#include "run/run.hpp"
#include "run/run_shared.hpp"
#include "run/work.hpp"

#include <cstdint>
#include <vector>

namespace octavo::run {

// Opens the lanes, lets them take `items` in order, and returns when all are done. Where the device is lost
// or has no memory its fallback carries on, and `device` is that afterwards. Throws the first error of any
// lane.
void run_lanes(RunShared& shared, const std::vector<WorkItem>& items, ChosenDevice& device,
               plugin::HostServices& services, const RunOptions& options, uint64_t bytes_total);

}  // namespace octavo::run
