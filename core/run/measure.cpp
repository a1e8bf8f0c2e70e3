// Some decisions need the data: a layer with a NaN stays as it is under --nonfinite keep, a tensor with
// values beyond the stored dtype under --fp16-overflow keep. They are made by reading those layers once
// before the plan is fixed, so that the size of the output is known to the byte before the first one is
// written.
#include "run/run.hpp"
#include "run/run_lanes.hpp"

#include <fmt/format.h>

namespace octavo::run {
namespace {

bool is_decided_by_data(const plan::Plan& plan, const plan::PlannedLayer& layer) {
  if (plan.settings.nonfinite == plan::Nonfinite::keep) return true;
  return layer.grid.code == OCTAVO_CODE_CAST && plan.settings.cast_overflow == plan::CastOverflow::keep;
}

struct Found {
  int64_t nonfinite = 0;
  int64_t overflow = 0;
};

std::string reason(const plan::Settings& settings, const Found& found) {
  if (settings.nonfinite == plan::Nonfinite::keep && found.nonfinite > 0) {
    return fmt::format("{} values are not finite (--nonfinite keep)", found.nonfinite);
  }
  if (settings.cast_overflow == plan::CastOverflow::keep && found.overflow > 0) {
    return fmt::format("{} values are beyond the stored dtype (--fp16-overflow keep)", found.overflow);
  }
  return {};
}

}  // namespace

plan::Unfit measure(const plan::Plan& plan, const checkpoint::Checkpoint& source, ChosenDevice& device,
                    plugin::HostServices& services, const RunOptions& options) {
  std::vector<uint32_t> wanted;
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < plan.layers.size(); ++i) {
    if (!is_decided_by_data(plan, *plan.layers[i])) continue;
    wanted.push_back(i);
    bytes += plan.layers[i]->bytes_in;
  }
  plan::Unfit unfit;
  if (wanted.empty()) return unfit;

  const std::vector<WorkItem> items = cut_into_measurements(plan, wanted, tile_sizes(options, device));
  RunShared shared{.plan = plan, .source = source};
  shared.measured.resize(items.size());
  const LaneNeeds needs = lane_needs(shared, options, device, items.size());
  run_lanes(shared, items, device, services, needs, options, bytes);

  std::vector<Found> found(plan.layers.size());
  for (size_t i = 0; i < items.size(); ++i) {
    found[items[i].index].nonfinite += shared.measured[i].nonfinite_count;
    found[items[i].index].overflow += shared.measured[i].overflow_count;
  }
  for (const uint32_t index : wanted) {
    std::string why = reason(plan.settings, found[index]);
    if (!why.empty()) unfit.emplace(plan.layers[index]->name, std::move(why));
  }
  return unfit;
}

}  // namespace octavo::run
