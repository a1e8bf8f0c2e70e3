// Editing of markers: the options, and the command that `octavo convert --edit-quant` is as well.
#pragma once

#include "options.hpp"
#include "terminal.hpp"

#include <string>
#include <vector>

namespace octavo::cli {

// --remove-keys and its like, which `convert` takes too, in the group `group`.
std::vector<Option> marker_options(const std::string& group);

// `octavo edit`; of a command that has these options and those of an output. Returns the exit code.
int edit(const Arguments& arguments, Terminal& terminal);

}  // namespace octavo::cli
