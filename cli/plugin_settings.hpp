// Whether what `--set id.name=value` says reaches a plugin.
#pragma once

#include "conversion.hpp"
#include "plugin/catalog.hpp"

#include <string>
#include <vector>

namespace octavo::cli {

// Throws Error usage for an id that no plugin has. Returns a line for every optimizer that is set and not
// used.
std::vector<std::string> check_settings(const Conversion& conversion, const plugin::Catalog& catalog);

}  // namespace octavo::cli
