// How many lanes a plan's work gets where nobody says, and how many of them prepare layers.
#pragma once

#include "plan/plan.hpp"

#include <cstdint>

namespace octavo::run {

struct LaneSetting {
  uint32_t suggested = 0;  // by the backend, for one device; 0: as many as there are CPUs
  uint32_t devices = 1;
  uint32_t cpus = 1;
  bool on_host = true;
  bool side_by_side = false;  // as Output has it, of what is written
};

// At least 1.
uint32_t usual_lanes(const plan::Plan& plan, const LaneSetting& setting);
uint32_t preparing_lanes(const plan::Plan& plan, bool on_host, uint32_t lanes);

}  // namespace octavo::run
