// `convert --dry-run create-template`: the plan as a layer config to start from.
#pragma once

#include "conversion.hpp"
#include "options.hpp"
#include "plan/plan.hpp"
#include "terminal.hpp"

#include <nlohmann/json.hpp>

namespace octavo::cli {

// An entry for each 2-D `.weight` of at least 16 rows and columns that stays in the output: an anchored
// pattern of exactly its name; the format and optimizer that the plan chose for it, or skip; its shape.
// Passed back as --layer-config it leads to the same decisions.
nlohmann::ordered_json layer_template(const plan::Plan& plan);

// Writes it to --output, or as <stem>_layer_config_template.json beside the input. Returns the exit code.
// Throws Error usage where the file exists and --force is not given, io for the rest.
int write_layer_template(Conversion conversion, const Arguments& arguments, Terminal& terminal);

}  // namespace octavo::cli
