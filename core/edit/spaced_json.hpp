// JSON text as markers are written: ", " and ": " between the parts, ASCII only, keys in their order.
#pragma once

#include <nlohmann/json.hpp>

#include <string>

namespace octavo::edit {

// What Python's json.dumps makes of the same value.
std::string spaced_json(const nlohmann::ordered_json& value);

}  // namespace octavo::edit
