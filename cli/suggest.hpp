// "did you mean ...?": the name that somebody probably meant.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace octavo::cli {

// "did you mean --output?" with the nearest of `names` after `prefix`, or "" if none is near.
std::string suggestion(std::string_view name, const std::vector<std::string>& names,
                       std::string_view prefix = {});

}  // namespace octavo::cli
