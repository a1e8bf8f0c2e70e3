#include "base/error.hpp"
#include "calibration/file_contents.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace octavo::calibration {
namespace {

using Json = nlohmann::json;

[[noreturn]] void refuse(const std::string& where, const std::string& what) {
  throw Error(ErrorCode::bad_input, fmt::format("[calibration] {}: {}", where, what),
              R"(it is {"layer": {"input_mean": [...], "channel_max": [...], "input_scale": 0.01}} or )"
              R"({"layer": 0.01})");
}

float scale_of(const Json& value, const std::string& where) {
  if (!value.is_number()) refuse(where, "an input scale is a number");
  const auto scale = value.get<float>();
  check_scale(scale, where);
  return scale;
}

std::vector<float> statistic_of(const Json& value, bool may_be_negative, const std::string& where) {
  if (!value.is_array() || value.empty())
    refuse(where, "a statistic is a list of numbers, one for each column");
  std::vector<float> made;
  made.reserve(value.size());
  for (const Json& element : value) {
    if (!element.is_number()) refuse(where, "a statistic is a list of numbers");
    made.push_back(element.get<float>());
  }
  check_values(made, may_be_negative, where);
  return made;
}

LayerContents layer_of(const Json& value, const std::string& where) {
  LayerContents made;
  if (value.is_number()) {
    made.input_scale = scale_of(value, where);
    return made;
  }
  if (!value.is_object()) refuse(where, "a layer has an object or a number");
  for (const auto& [name, said] : value.items()) {
    const std::string at = fmt::format("{}, {}", where, printable(name));
    if (name == "input_scale") {
      made.input_scale = scale_of(said, at);
    } else if (name == "input_mean") {
      made.mean = statistic_of(said, true, at);
    } else if (name == "channel_max") {
      made.channel_max = statistic_of(said, false, at);
    } else if (name != "channel_mean") {
      refuse(at, "there is no such statistic");
    }
  }
  return made;
}

}  // namespace

FileContents read_json_text(const std::string& text, const std::string& shown) {
  Json json;
  try {
    json = Json::parse(text);
  } catch (const Json::exception& error) {
    refuse(shown, error.what());
  }
  if (!json.is_object()) refuse(shown, "it is no JSON object");
  FileContents contents;
  for (const auto& [layer, said] : json.items()) {
    if (layer.starts_with('_')) continue;  // "_source" and the like say where the numbers came from
    contents.layers[layer] = layer_of(said, fmt::format("{}, {}", shown, printable(layer)));
  }
  check_widths(contents, shown);
  return contents;
}

}  // namespace octavo::calibration
