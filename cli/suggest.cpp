#include "suggest.hpp"

#include "plugin/spelling.hpp"

#include <fmt/format.h>

namespace octavo::cli {

std::string suggestion(std::string_view name, const std::vector<std::string>& names,
                       std::string_view prefix) {
  const std::string closest = plugin::closest_name(name, names);
  return closest.empty() ? "" : fmt::format("did you mean {}{}?", prefix, closest);
}

}  // namespace octavo::cli
