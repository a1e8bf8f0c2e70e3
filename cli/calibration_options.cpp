#include "calibration_options.hpp"

#include "original_flags.hpp"

#include <limits>
#include <optional>

namespace octavo::cli {
namespace {

constexpr const char* kAlpha = "smoothquant-alpha";

std::optional<plan::SmoothingRequest> read_smoothing(const Arguments& arguments) {
  const bool searches = arguments.text(kAlpha).value_or("") == "search";
  const std::optional<double> alpha = searches ? std::nullopt : arguments.number(kAlpha, 0, 1);
  if (!arguments.flag("smoothquant")) return std::nullopt;
  if (searches) return plan::SmoothingRequest{std::nullopt};
  return plan::SmoothingRequest{alpha.value_or(plan::kDefaultAlpha)};
}

}  // namespace

std::vector<Option> calibration_options() {
  return {
      {.name = "calibration-data",
       .value = "FILE",
       .help = "inputs of layers that were recorded from a running model (safetensors), or statistics (JSON)",
       .group = kCalibrationFlags,
       .repeats = true},
      {.name = "calib-rows",
       .value = "N",
       .help = "rows of each layer's inputs that are kept, a fixed random sample (default: 2048)",
       .group = kCalibrationFlags},
      {.name = "bias-correction",
       .help = "biases keep the mean output where the mean input is known, which is the default",
       .group = kCalibrationFlags,
       .negatable = true,
       .tail = true},
      {.name = "smoothquant",
       .help =
           "outliers of channels of the inputs move into the weights, where the model or the format has a "
           "place for the inverse",
       .group = kCalibrationFlags},
      {.name = "smoothquant-alpha",
       .value = "A",
       .help = "how much of an outlier moves: 0 to 1 (default: 0.5; 1: all), or search",
       .group = kCalibrationFlags},
      {.name = "static-activations",
       .help = "an activation scale for each layer whose inputs are known",
       .group = kCalibrationFlags,
       .tail = true},
      {.name = "input-scales",
       .value = "FILE",
       .help = "JSON {layer: scale}: these activation scales, as --static-activations writes them",
       .group = kCalibrationFlags,
       .tail = true},
  };
}

std::vector<std::string> read_calibration(const Arguments& arguments, CalibrationRequest& request,
                                          plan::Settings& settings) {
  for (const std::string& path : arguments.texts("calibration-data")) request.files.emplace_back(path);
  if (const auto path = arguments.text("input-scales")) request.scales.emplace_back(*path);
  request.rows = arguments.integer("calib-rows", 1, std::numeric_limits<int32_t>::max())
                     .value_or(calibration::kDefaultRows);
  settings.static_activations = arguments.flag("static-activations") || arguments.has("input-scales");
  settings.bias_correction = arguments.flag("bias-correction", true) && !arguments.flag("simple");
  settings.smoothing = read_smoothing(arguments);
  std::vector<std::string> lines;
  if (arguments.has(kAlpha) && !arguments.flag("smoothquant"))
    lines.emplace_back("--smoothquant-alpha has no effect: --smoothquant is not given");
  if (!request.empty()) return lines;

  settings.static_activations = false;
  settings.smoothing.reset();
  if (arguments.flag("static-activations")) {
    lines.emplace_back(
        "--static-activations has no effect: there is no calibration file in use, so loaders quantize "
        "activations as they come");
  }
  for (const char* name : {"calib-rows", "bias-correction", "smoothquant"}) {
    if (!arguments.has(name)) continue;
    const char* prefix = arguments.text(name) == "false" ? "--no-" : "--";
    lines.push_back(std::string(prefix) + name + " has no effect: there is no calibration file in use");
  }
  return lines;
}

}  // namespace octavo::cli
