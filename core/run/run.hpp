// Carrying out a plan: lanes take tiles until none is left.
//
// A tile goes through one lane from read to write. Lanes share nothing but the list of work and, for a layer,
// what its tiles wait for (its absmax, its optimizer's state). Output offsets are known, so nothing is queued
// or put in order on the way, and memory is bounded by lanes x slots x tile.
#pragma once

#include "base/progress.hpp"
#include "calibration/calibration.hpp"
#include "checkpoint/reader.hpp"
#include "plan/plan.hpp"
#include "plan/tile_shape.hpp"
#include "plugin/backend.hpp"
#include "plugin/host_services.hpp"
#include "run/device.hpp"
#include "run/layer_run.hpp"
#include "run/output.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace octavo::run {

struct RunOptions {
  uint32_t lanes = 0;                             // 0: what the backend advises
  std::optional<uint64_t> tile_bytes;             // of source in a tile, instead of what suits the device
  std::function<void(const Progress&)> progress;  // called from the calling thread, about ten times a second
};

struct RunReport {
  std::vector<LayerResult> layers;
  double seconds = 0;
  uint64_t bytes_read = 0;
  uint64_t peak_memory = 0;  // resident bytes of the process, largest so far
  uint32_t lanes = 0;
};

// What a run reads.
struct Sources {
  const checkpoint::Checkpoint& checkpoint;
  const calibration::Calibration* calibration = nullptr;  // that the plan was made with; nullptr: none
};

// Writes everything the plan says into `output` (begun, not committed). Throws the first error that a lane
// met, Error interrupted or terminated after a signal; all lanes have ended then.
RunReport run(const plan::Plan& plan, const Sources& sources, ChosenDevice& device,
              plugin::HostServices& services, Output& output, const RunOptions& options);

// Reads every layer that a policy (`keep`) makes a decision about and says which ones must stay as they are.
plan::Unfit measure(const plan::Plan& plan, const checkpoint::Checkpoint& source, ChosenDevice& device,
                    plugin::HostServices& services, const RunOptions& options);

plan::TileSizes tile_sizes(const RunOptions& options, const ChosenDevice& device);

}  // namespace octavo::run
