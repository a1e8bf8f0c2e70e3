// Which known name somebody probably meant.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace octavo::plugin {

// The entry of `known` with the smallest edit distance (optimal string alignment) to `name`; "" if none is
// within a third of the name's length (rounded up), or if nothing of the name would be left. Equal distances:
// the first one.
std::string closest_name(std::string_view name, std::span<const std::string> known);

}  // namespace octavo::plugin
