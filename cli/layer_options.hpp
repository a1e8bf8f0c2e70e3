// Options that say which layers are converted, and how those of a class of their own are.
#pragma once

#include "options.hpp"
#include "plan/settings.hpp"

#include <string>
#include <vector>

namespace octavo::cli {

std::vector<Option> layer_options();

// `--scaling-mode` and its like: tensor, row, block or axis as a format with parameters.
plugin::Selection format_of_scaling_mode(const std::string& mode);

// Fills block_size, heuristic and rules; format and optimizer are there already, because the classes inherit
// them, and `--simple` may replace the optimizer. Returns what the layer config holds that means nothing, one
// sentence each. Throws Error usage for options that lack one another, bad_input for a wrong layer config.
std::vector<std::string> read_layer_options(const Arguments& arguments, plan::Settings& settings);

}  // namespace octavo::cli
