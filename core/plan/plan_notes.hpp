// What a person should know about a plan, one sentence each.
#pragma once

#include "plan/plan.hpp"

#include <string>
#include <vector>

namespace octavo::plan {

// Layers that are not stored as asked for, by the reason.
std::vector<std::string> fallback_notes(const Plan& plan);

// Tensors that a model filter leaves out of the output, by the reason.
std::vector<std::string> left_out_notes(const Plan& plan);

}  // namespace octavo::plan
