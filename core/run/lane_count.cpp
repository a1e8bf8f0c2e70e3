#include "run/lane_count.hpp"

#include "plan/tile_shape.hpp"

#include <algorithm>
#include <set>

namespace octavo::run {
namespace {

// Of a device, where that pays.
constexpr uint32_t kMoreLanes = 16;

// Lanes of a device that prepare layers: few, because for every thread that has called it LibTorch keeps
// handles and workspaces there, and what is being prepared lies there as well. (12 GB of weights with a
// factor for each layer on an H200: 6.3 s and 2.2 GiB with these, 5.9 s and 2.9 GiB with eight.)
constexpr uint32_t kPreparing = 4;
// More where most layers share their inputs: there is little to prepare then but to judge. (With a factor for
// each width 3.8 s and 2.2 GiB with four, 3.5 s and 2.3 GiB with these.)
constexpr uint32_t kJudging = 8;

template <typename Is>
bool any_layer(const plan::Plan& plan, Is is) {
  return std::any_of(plan.layers.begin(), plan.layers.end(), [&](const auto& layer) { return is(*layer); });
}

// Half as many for each device where layers come whole: each holds gigabytes of the device's memory, and more
// do not make it faster. (12 GB of weights by learned rounding on an H200: 9.9 s with 12 lanes, 9.3 with
// 6, 9.6 with 4.) For all other work several devices share the lanes of one: what lanes wait for is not the
// device. (24 lanes of two H200 into one file on tmpfs: 3.2 s, 12 of one of them 2.6.) More where some of
// them prepare layers (feedback, two fifths of that in one file: 2.35 s with 12, 2.15 with 14, 1.95 with 16),
// or where they have most to do with writing (12 GB in 8 files on tmpfs: 1.96 s with 12, 1.72 with 16; in 16
// files 1.86 and 1.50).
uint32_t lanes_on_devices(const plan::Plan& plan, const LaneSetting& setting, uint32_t lanes) {
  if (any_layer(plan, plan::comes_whole)) return (lanes + 1) / 2 * setting.devices;
  if (!setting.side_by_side && !any_layer(plan, plan::needs_admission)) return lanes;
  return std::max(lanes, std::min(setting.cpus, kMoreLanes));
}

bool most_share_inputs(const plan::Plan& plan) {
  std::set<const calibration::InputGroup*> inputs;
  size_t layers = 0;
  for (const auto& layer : plan.layers) {
    if ((layer->wants & OCTAVO_WANTS_INPUTS) == 0 || layer->inputs == nullptr) continue;
    inputs.insert(layer->inputs);
    ++layers;
  }
  return layers > 2 * inputs.size();
}

}  // namespace

uint32_t usual_lanes(const plan::Plan& plan, const LaneSetting& setting) {
  const uint32_t lanes = std::max(setting.suggested != 0 ? setting.suggested : setting.cpus, 1u);
  return setting.on_host ? lanes : lanes_on_devices(plan, setting, lanes);
}

uint32_t preparing_lanes(const plan::Plan& plan, bool on_host, uint32_t lanes) {
  if (on_host) return lanes;
  const bool judges = most_share_inputs(plan) && !any_layer(plan, plan::comes_whole);
  return std::min(lanes, judges ? kJudging : kPreparing);
}

}  // namespace octavo::run
