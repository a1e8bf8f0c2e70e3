// A run of the layers alone that writes nothing, to know what they would lose.
#pragma once

#include "run/run.hpp"

namespace octavo::run {

// What the layers of the plan would be stored with. Tensors that are copied or only merged are not read;
// `plan` forgets them. Throws what run() throws.
RunReport rehearse(plan::Plan plan, const Sources& sources, ChosenDevice& device,
                   plugin::HostServices& services, const RunOptions& options);

}  // namespace octavo::run
