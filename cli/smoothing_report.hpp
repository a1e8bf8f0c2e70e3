// What --smoothquant came to.
#pragma once

#include "plan/plan.hpp"
#include "terminal.hpp"

#include <nlohmann/json.hpp>

namespace octavo::cli {

// Of one layer: {smoothed: true, target: key that takes the inverse} or {smoothed: false, reason}.
nlohmann::ordered_json smoothing_json(const plan::SmoothingDecision& decision);

// After the run, each group: [{target, folded, alpha (0: the search found none better), layers: [names]}]
nlohmann::ordered_json smoothing_json(const plan::Plan& plan);

// One line: how many layers are smoothed, and where the inverse goes. Nothing where it was not asked for.
void print_smoothing(const plan::Plan& plan, Terminal& terminal);

}  // namespace octavo::cli
