// What the output says about its making: `__metadata__["octavo"]` and, on request, `_quantization_metadata`.
#pragma once

#include "plan/plan.hpp"

#include <map>
#include <string>
#include <vector>

namespace octavo::plan {

// The source's metadata, kept, with a JSON object under "octavo": version, the settings that decide bytes,
// the XXH3-128 of the source header and the source's size. Nothing about time, host, paths, device, lanes or
// tiles. `treatments`: those of Rules::treatments(), opened.
std::map<std::string, std::string> output_metadata(const Plan& plan, const checkpoint::Checkpoint& source,
                                                   const std::vector<OpenedTreatment>& treatments,
                                                   const std::vector<std::string>& model_ids);

// Adds `_quantization_metadata` for the plan's markers (if settings ask for it) and for layers of the source
// that stay quantized as they are.
void add_quantization_metadata(Plan& plan, const checkpoint::Checkpoint& source,
                               const std::map<std::string, std::string, std::less<>>& kept_layers);

}  // namespace octavo::plan
