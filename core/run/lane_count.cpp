#include "run/lane_count.hpp"

#include "plan/tile_shape.hpp"

#include <algorithm>

namespace octavo::run {
namespace {

// Of a device, where that pays.
constexpr uint32_t kMoreLanes = 16;

template <typename Is>
bool any_layer(const plan::Plan& plan, Is is) {
  return std::any_of(plan.layers.begin(), plan.layers.end(), [&](const auto& layer) { return is(*layer); });
}

// Nothing but reading, rounding and writing.
bool is_light(const plan::Plan& plan) {
  return plan.merges.empty() && !any_layer(plan, [](const plan::PlannedLayer& layer) {
           return layer.wants != 0 || !layer.origin.is_plain() || plan::needs_admission(layer);
         });
}

// A quarter less where they wait for the thread that allocates the file, which they slow down. (12 GB in one
// file on tmpfs, 16 CPUs: 2.65 s with 16 lanes, 2.36 with 14, 2.16 with 12, 2.28 with 8.)
uint32_t lanes_on_host(const plan::Plan& plan, const LaneSetting& setting, uint32_t lanes) {
  return setting.waits_for_allocation && is_light(plan) ? lanes - lanes / 4 : lanes;
}

// Half as many where layers come whole: each holds gigabytes of the device's memory, and more do not make it
// faster. (12 GB of weights by learned rounding on an H200: 9.9 s with 12 lanes, 9.3 with 6, 9.6 with 4.)
// More where some of them prepare layers (feedback, two fifths of that in one file: 2.35 s with 12, 2.15 with
// 14, 1.95 with 16), or where they have most to do with writing (12 GB in 8 files on tmpfs: 1.96 s with
// 12, 1.72 with 16; in 16 files 1.86 and 1.50).
uint32_t lanes_on_device(const plan::Plan& plan, const LaneSetting& setting, uint32_t lanes) {
  if (any_layer(plan, plan::comes_whole)) return (lanes + 1) / 2;
  if (!setting.side_by_side && !any_layer(plan, plan::needs_admission)) return lanes;
  return std::max(lanes, std::min(setting.cpus, kMoreLanes));
}

}  // namespace

uint32_t usual_lanes(const plan::Plan& plan, const LaneSetting& setting) {
  const uint32_t lanes = std::max(setting.suggested != 0 ? setting.suggested : setting.cpus, 1u);
  return setting.on_host ? lanes_on_host(plan, setting, lanes) : lanes_on_device(plan, setting, lanes);
}

}  // namespace octavo::run
