#include "int8/marker.hpp"

#include <nlohmann/json.hpp>

namespace octavo::int8 {
namespace {

constexpr int kDepthLimit = 16;
constexpr std::int64_t kGroupLimit = std::int64_t{1} << 31;

// The value of `key`, at the top or within `params`; nullptr if it is not there or null.
const nlohmann::json* value_of(const nlohmann::json& object, const char* key) {
  if (const auto found = object.find(key); found != object.end() && !found->is_null()) return &*found;
  const auto params = object.find("params");
  if (params == object.end() || !params->is_object()) return nullptr;
  const auto nested = params->find(key);
  return nested == params->end() || nested->is_null() ? nullptr : &*nested;
}

// Loaders are Python programs: a number counts as true unless it is 0. False if the value is neither.
bool read_flag(const nlohmann::json& object, const char* key, bool& flag) {
  const nlohmann::json* value = value_of(object, key);
  if (value == nullptr) return true;
  if (value->is_boolean()) {
    flag = value->get<bool>();
  } else if (value->is_number()) {
    flag = value->get<double>() != 0;
  } else {
    return false;
  }
  return true;
}

bool read_size(const nlohmann::json& object, const char* key, std::int64_t& size) {
  const nlohmann::json* value = value_of(object, key);
  if (value == nullptr) return true;
  if (!value->is_number_integer()) return false;
  if (value->is_number_unsigned() && value->get<std::uint64_t>() >= kGroupLimit) return false;
  size = value->get<std::int64_t>();
  return size > 0 && size < kGroupLimit;
}

MarkerReading fault(const char* code, std::string message) {
  return {std::nullopt, MarkerFault{code, std::move(message)}};
}

}  // namespace

std::string marker_text(const Marker& marker) {
  std::string text = "{\"format\": \"" + marker.format + '"';
  if (marker.group_size > 0) text += ", \"group_size\": " + std::to_string(marker.group_size);
  if (marker.full_precision) text += ", \"full_precision_matrix_mult\": true";
  if (marker.convrot) {
    text += ", \"convrot\": true, \"convrot_groupsize\": " + std::to_string(marker.convrot_groupsize);
  }
  return text + '}';
}

std::optional<nlohmann::json> parse_json(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) return std::nullopt;  // the parser takes it for the end
  bool too_deep = false;
  const auto limit = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    if (depth > kDepthLimit) too_deep = true;
    return !too_deep;
  };
  nlohmann::json parsed = nlohmann::json::parse(text.begin(), text.end(), limit, false);
  if (too_deep || parsed.is_discarded()) return std::nullopt;
  return parsed;
}

MarkerReading read_marker(std::string_view bytes) {
  const std::size_t end = bytes.find_last_not_of('\0');
  const bool padded = end != bytes.size() - 1;
  if (bytes.empty()) return fault("marker-not-json", "the marker is empty");
  if (end == std::string_view::npos) return fault("marker-nul-padded", "the marker is all NUL bytes");
  const std::optional<nlohmann::json> parsed = parse_json(bytes.substr(0, end + 1));
  if (!parsed) return fault("marker-not-json", "the marker is not JSON");
  MarkerReading reading = read_marker(*parsed);
  if (padded && !reading.fault) {
    reading.fault = {"marker-nul-padded",
                     "the marker ends in NUL bytes; loaders parse its exact length and stop with an error"};
  }
  return reading;
}

MarkerReading read_marker(const nlohmann::json& object) {
  if (!object.is_object()) return fault("marker-not-json", "the marker is not a JSON object");
  Marker marker;
  if (const auto format = object.find("format"); format != object.end()) {
    if (!format->is_string()) return fault("marker-value", "\"format\" is not a string");
    marker.format = format->get<std::string>();
  }
  if (!read_flag(object, "full_precision_matrix_mult", marker.full_precision))
    return fault("marker-value", "\"full_precision_matrix_mult\" is neither true nor false");
  if (!read_flag(object, "convrot", marker.convrot))
    return fault("marker-value", "\"convrot\" is neither true nor false");
  if (!read_size(object, "group_size", marker.group_size))
    return fault("marker-value", "\"group_size\" is not a positive integer");
  if (!read_size(object, "convrot_groupsize", marker.convrot_groupsize))
    return fault("marker-value", "\"convrot_groupsize\" is not a positive integer");
  if (marker.format.empty()) {
    return {marker, MarkerFault{"marker-format-missing",
                                "the marker has no \"format\"; ComfyUI stops with an error"}};
  }
  return {marker, std::nullopt};
}

}  // namespace octavo::int8
