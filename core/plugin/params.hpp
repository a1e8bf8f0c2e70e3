// Parameters of plugins: from the command line to validated values in the order in which a plugin declared
// them.
#pragma once

#include "plugin/descriptor.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace octavo::plugin {

// One "name=value".
struct Assignment {
  std::string name;
  std::string value;
};

// A plugin that was asked for: "id" or "id:name=value,name=value". A value with a comma needs `--set`.
struct Selection {
  std::string id;
  std::vector<Assignment> assignments;
};

// "id.name=value" after --set.
struct Setting {
  std::string id;
  Assignment assignment;
};

// Hyphens in ids and names count as underscores. Throw Error usage; `option` ("--format") is for the message.
Selection parse_selection(std::string_view text, std::string_view option);
Setting parse_setting(std::string_view text);

// One value of a declared parameter. The member that belongs to `type` is set; `text` always is.
struct Value {
  std::string name;
  octavo_param_type type = OCTAVO_PARAM_TEXT;
  std::int64_t integer = 0;
  double number = 0;
  std::string text;
};

using Values = std::vector<Value>;

// Reads `text` as a value of `parameter`. Throws Error usage that says what is allowed.
Value parse_value(const Parameter& parameter, const std::string& text);

// One value for each parameter of `descriptor`, in its order: the last assignment, or the default. Throws
// Error usage for an unknown parameter (naming the closest one) and for a wrong value.
Values resolve(const Descriptor& descriptor, std::span<const Assignment> assignments);

// Views of `values` as they cross the boundary; alive as long as `values` is.
std::vector<octavo_param_value> boundary_values(const Values& values);

// "damp=0.01" of a parameter's value that is not the default, for reports and provenance: "" if all are
// defaults, else "name=value,name=value" in the order of the declaration.
std::string changed_values(const Descriptor& descriptor, const Values& values);

}  // namespace octavo::plugin
