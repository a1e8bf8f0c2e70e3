// What `octavo plan`, and a conversion, say about a plan.
#pragma once

#include "conversion.hpp"
#include "plan/plan.hpp"
#include "terminal.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>

namespace octavo::cli {

// The plan as `octavo plan --json` prints it: contract of "octavo.plan/1".
nlohmann::ordered_json plan_json(const Conversion& conversion, const plan::Plan& plan, uint64_t file_bytes);

// Bytes, as far as they are known without opening a device.
struct PlannedMemory {
  uint64_t lanes = 0;          // lanes x the memory of a tile
  uint64_t largest_layer = 0;  // of layers that come whole or are prepared: what is leased, and what an
                               // optimizer may hold beside it
  uint64_t layers = 0;         // all of those that are in work at a time: one for each lane, under --max-ram

  uint64_t total() const { return lanes + layers; }
};

PlannedMemory planned_memory(const Conversion& conversion, const plan::Plan& plan);

// The plan in a few lines for people: models, what is quantized and kept, sizes, notes; `every`: each tensor
// too.
void print_plan(const Conversion& conversion, const plan::Plan& plan, uint64_t file_bytes, bool every,
                Terminal& terminal);

}  // namespace octavo::cli
