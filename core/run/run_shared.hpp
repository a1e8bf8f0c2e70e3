// What the lanes of a run have in common.
#pragma once

#include "base/error.hpp"
#include "calibration/calibration.hpp"
#include "checkpoint/reader.hpp"
#include "plan/plan.hpp"
#include "plugin/backend.hpp"
#include "run/idle_lanes.hpp"
#include "run/input_means.hpp"
#include "run/layer_queue.hpp"
#include "run/layer_run.hpp"
#include "run/output.hpp"
#include "run/tensor_count.hpp"

#include <octavo/abi/backend.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

namespace octavo::run {

struct RunShared {
  const plan::Plan& plan;
  const checkpoint::Checkpoint& source;
  Output* output = nullptr;                               // nullptr: a measuring pass
  std::vector<std::unique_ptr<LayerRun>> layers = {};     // by index in the plan
  std::vector<octavo_absmax_result> measured = {};        // of a measuring pass, by item
  const calibration::Calibration* calibration = nullptr;  // nullptr: nothing is known about inputs
  InputMeans* means = nullptr;                            // of `calibration`
  LayerQueue* queue = nullptr;                            // nullptr: a measuring pass
  IdleLanes idle = {};
  std::atomic<bool> tiles_are_smaller{false};

  void say_once_that_tiles_are_smaller(plugin::Lane& lane, const Error& error);
  std::atomic<uint64_t> bytes_done{0};
  TensorCount tensors = {};
};

}  // namespace octavo::run
