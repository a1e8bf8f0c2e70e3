// What a person should know about a plan, one sentence each.
#pragma once

#include "plan/plan.hpp"

#include <string>
#include <vector>

namespace octavo::plan {

// Layers of which their format has something to say (not stored as asked for, rotated in smaller groups), by
// what it says.
std::vector<std::string> placement_notes(const Plan& plan);

// Tensors that a model filter leaves out of the output, by the reason.
std::vector<std::string> left_out_notes(const Plan& plan);

}  // namespace octavo::plan
