#include "edit/spaced_json.hpp"

namespace octavo::edit {
namespace {

std::string scalar(const nlohmann::ordered_json& value) { return value.dump(-1, ' ', true); }

}  // namespace

std::string spaced_json(const nlohmann::ordered_json& value) {
  if (!value.is_structured()) return scalar(value);
  std::string text;
  for (const auto& [key, member] : value.items()) {
    if (!text.empty()) text += ", ";
    if (value.is_object()) text += scalar(key) + ": ";
    text += spaced_json(member);
  }
  return value.is_object() ? "{" + text + "}" : "[" + text + "]";
}

}  // namespace octavo::edit
