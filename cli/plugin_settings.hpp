// Whether what `--set id.name=value` says reaches a plugin.
#pragma once

#include "conversion.hpp"
#include "session.hpp"

#include <string>
#include <vector>

namespace octavo::cli {

// Throws Error usage for an id that no plugin has, for a parameter that the plugin does not have, and for a
// wrong value. Returns a line for every plugin that is set and not used.
std::vector<std::string> check_settings(const Conversion& conversion, Session& session);

}  // namespace octavo::cli
