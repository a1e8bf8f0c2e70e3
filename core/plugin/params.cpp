#include "plugin/params.hpp"

#include "base/error.hpp"
#include "plugin/spelling.hpp"

#include <boost/algorithm/string/split.hpp>
#include <boost/algorithm/string/trim.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

namespace octavo::plugin {
namespace {

[[noreturn]] void bad_usage(const std::string& text, const std::string& hint = {}) {
  throw Error(ErrorCode::usage, text, hint);
}

std::string underscored(std::string text) {
  boost::trim(text);
  std::replace(text.begin(), text.end(), '-', '_');
  return text;
}

std::optional<Assignment> parse_assignment(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) return std::nullopt;
  return Assignment{underscored(text.substr(0, equals)), boost::trim_copy(text.substr(equals + 1))};
}

// What a parameter takes, as the end of a sentence.
std::string allowed(const Parameter& parameter) {
  switch (parameter.type) {
    case OCTAVO_PARAM_BOOL:
      return "true or false";
    case OCTAVO_PARAM_INTEGER:
      return fmt::format("an integer from {} to {}", parameter.minimum, parameter.maximum);
    case OCTAVO_PARAM_NUMBER:
      return fmt::format("a number from {} to {}", parameter.minimum, parameter.maximum);
    case OCTAVO_PARAM_CHOICE:
      return fmt::format("one of {}", fmt::join(parameter.choices, ", "));
    case OCTAVO_PARAM_TEXT:
      return "text";
  }
  return "?";
}

template <typename Number>
std::optional<Number> parse_number(const std::string& text) {
  Number value{};
  const char* const begin = text.data() + (text.size() > 1 && text[0] == '+' && text[1] != '-' ? 1 : 0);
  const char* const end = text.data() + text.size();
  const auto [rest, failure] = std::from_chars(begin, end, value);
  if (failure != std::errc() || rest != end) return std::nullopt;
  return value;
}

std::optional<std::int64_t> parse_flag(const std::string& text) {
  for (const char* yes : {"true", "1", "yes", "on"}) {
    if (text == yes) return 1;
  }
  for (const char* no : {"false", "0", "no", "off"}) {
    if (text == no) return 0;
  }
  return std::nullopt;
}

bool in_range(const Parameter& parameter, double value) {
  return value >= parameter.minimum && value <= parameter.maximum;  // false for NaN
}

// Fills the member of `value` that belongs to the type; false if `text` is not such a value.
bool read(const Parameter& parameter, const std::string& text, Value& value) {
  switch (parameter.type) {
    case OCTAVO_PARAM_BOOL: {
      const auto flag = parse_flag(text);
      value.integer = flag.value_or(0);
      return flag.has_value();
    }
    case OCTAVO_PARAM_INTEGER: {
      const auto integer = parse_number<std::int64_t>(text);
      value.integer = integer.value_or(0);
      return integer && in_range(parameter, static_cast<double>(*integer));
    }
    case OCTAVO_PARAM_NUMBER: {
      const auto number = parse_number<double>(text);
      value.number = number.value_or(0);
      return number && std::isfinite(*number) && in_range(parameter, *number);
    }
    case OCTAVO_PARAM_CHOICE:
      return std::find(parameter.choices.begin(), parameter.choices.end(), text) != parameter.choices.end();
    case OCTAVO_PARAM_TEXT:
      return text.find('\0') == std::string::npos;
  }
  return false;
}

const Parameter& find_parameter(const Descriptor& descriptor, const std::string& name) {
  std::vector<std::string> names;
  for (const Parameter& parameter : descriptor.params) {
    if (parameter.name == name) return parameter;
    names.push_back(parameter.name);
  }
  const std::string what = fmt::format("[parameters] {} '{}' has no parameter '{}'",
                                       kind_name(descriptor.kind), descriptor.id, printable(name));
  if (names.empty()) bad_usage(what + "; it has none");
  const std::string closest = closest_name(name, names);
  bad_usage(what + (closest.empty() ? "" : fmt::format("; did you mean '{}'?", closest)),
            fmt::format("its parameters are {}", fmt::join(names, ", ")));
}

}  // namespace

Selection parse_selection(std::string_view text, std::string_view option) {
  const std::size_t colon = text.find(':');
  Selection made{underscored(std::string(text.substr(0, colon))), {}};
  if (made.id.empty()) {
    bad_usage(fmt::format("[options] {} is '{}', an id or id:parameter=value,... was expected", option,
                          printable(text)));
  }
  if (colon == std::string_view::npos) return made;
  std::vector<std::string> parts;
  boost::split(parts, text.substr(colon + 1), [](char c) { return c == ','; });
  for (const std::string& part : parts) {
    auto assignment = parse_assignment(part);
    if (!assignment) {
      bad_usage(fmt::format("[options] '{}' in {} {} is not parameter=value", printable(part), option,
                            printable(text)),
                "a value that contains a comma is given with --set id.parameter=value");
    }
    made.assignments.push_back(std::move(*assignment));
  }
  return made;
}

Setting parse_setting(std::string_view text) {
  const std::size_t dot = text.find('.');
  const std::size_t equals = text.find('=');
  if (dot != std::string_view::npos && dot > 0 && equals != std::string_view::npos && equals > dot + 1) {
    auto assignment = parse_assignment(std::string(text.substr(dot + 1)));
    if (assignment) return {underscored(std::string(text.substr(0, dot))), std::move(*assignment)};
  }
  bad_usage(fmt::format("[options] --set is '{}', id.parameter=value was expected", printable(text)));
}

Value parse_value(const Parameter& parameter, const std::string& text) {
  Value value{parameter.name, parameter.type, 0, 0, text};
  if (!read(parameter, text, value)) {
    bad_usage(fmt::format("[parameters] '{}' is '{}', {} was expected", parameter.name, printable(text),
                          allowed(parameter)));
  }
  return value;
}

Values resolve(const Descriptor& descriptor, std::span<const Assignment> assignments) {
  Values values;
  for (const Parameter& parameter : descriptor.params)
    values.push_back(parse_value(parameter, parameter.default_value));
  for (const Assignment& assignment : assignments) {
    const Parameter& parameter = find_parameter(descriptor, assignment.name);
    const auto place = &parameter - descriptor.params.data();
    try {
      values[static_cast<std::size_t>(place)] = parse_value(parameter, assignment.value);
    } catch (const Error& error) {
      bad_usage(fmt::format("{} ({} '{}')", error.what(), kind_name(descriptor.kind), descriptor.id),
                parameter.help);
    }
  }
  return values;
}

std::vector<octavo_param_value> boundary_values(const Values& values) {
  std::vector<octavo_param_value> made;
  made.reserve(values.size());
  for (const Value& value : values) {
    made.push_back({value.name.c_str(), static_cast<std::uint32_t>(value.type), 0, value.integer,
                    value.number, value.text.c_str()});
  }
  return made;
}

std::string changed_values(const Descriptor& descriptor, const Values& values) {
  std::vector<std::string> changed;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Value standard = parse_value(descriptor.params[i], descriptor.params[i].default_value);
    const Value& value = values[i];
    const bool equal = value.type == OCTAVO_PARAM_BOOL || value.type == OCTAVO_PARAM_INTEGER
                           ? value.integer == standard.integer
                       : value.type == OCTAVO_PARAM_NUMBER
                           ? !(value.number < standard.number) && !(value.number > standard.number)
                           : value.text == standard.text;
    if (!equal) changed.push_back(value.name + "=" + value.text);
  }
  return fmt::format("{}", fmt::join(changed, ","));
}

}  // namespace octavo::plugin
