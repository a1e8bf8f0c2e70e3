#include "report_lanes.hpp"

#include "base/cpus.hpp"

namespace octavo::cli {

report::CompareOptions lanes_for_reports(const run::ChosenDevice& device, unsigned lanes) {
  const unsigned suggested =
      device.backend.suggested_lanes() == 0 ? usable_cpus() : device.backend.suggested_lanes();
  report::CompareOptions options;
  options.lanes = lanes == 0 ? suggested : lanes;
  options.open_lane = [&device](unsigned index, unsigned count) {
    octavo_lane_request request{};
    request.struct_size = sizeof request;
    request.index = index;
    request.count = count;
    request.device = device.devices[index % device.devices.size()];
    request.slots = 1;
    return stored::BandLane(device.backend.open_lane(request));
  };
  return options;
}

}  // namespace octavo::cli
