// What is known about the inputs of layers, as the command line gives it.
#pragma once

#include "calibration/calibration.hpp"
#include "options.hpp"
#include "plan/settings.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace octavo::cli {

struct CalibrationRequest {
  std::vector<std::filesystem::path> scales;  // of --input-scales: they win
  std::vector<std::filesystem::path> files;   // of --calibration-data
  int64_t rows = calibration::kDefaultRows;

  bool empty() const { return scales.empty() && files.empty(); }
};

std::vector<Option> calibration_options();

// Also sets what the settings say about activation scales and biases. Returns one line for every option that
// was given and has no effect. Throws Error usage.
std::vector<std::string> read_calibration(const Arguments& arguments, CalibrationRequest& request,
                                          plan::Settings& settings);

}  // namespace octavo::cli
