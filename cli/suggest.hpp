// "Did you mean ...": the names that are nearest to one that does not exist.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace octavo::cli {

// At most three of `names`, nearest first, that `name` may be a misspelling of; empty if none is near.
std::vector<std::string> nearest_names(std::string_view name, const std::vector<std::string>& names);

// "did you mean --output or --outline?", or "" if nothing is near. `prefix` is put before each name.
std::string suggestion(std::string_view name, const std::vector<std::string>& names,
                       std::string_view prefix = {});

}  // namespace octavo::cli
