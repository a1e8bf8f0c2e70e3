#include "run/rehearse.hpp"

#include <utility>

namespace octavo::run {

RunReport rehearse(plan::Plan plan, const Sources& sources, ChosenDevice& device,
                   plugin::HostServices& services, const RunOptions& options) {
  plan.copies.clear();
  plan.merges.clear();
  Output nowhere(plan, "rehearsal", nullptr);
  checkpoint::OutputOptions discarded;
  discarded.discard = true;
  nowhere.begin(discarded);
  return run(plan, sources, device, services, nowhere, options);
}

}  // namespace octavo::run
