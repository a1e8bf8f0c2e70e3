// Rows that layers were really given, for judging their outputs.
#pragma once

#include "calibration/calibration.hpp"
#include "report/output_error.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace octavo::report {

inline constexpr int64_t kJudgingRows = 256;

// Some layer has rows that were recorded from a running model.
bool has_recorded_rows(const calibration::Calibration& calibration);

// At most `rows` of those that the calibration keeps of this layer, evenly spaced. nullptr where none were
// recorded. Thread safe. Throws as Calibration::read does.
std::shared_ptr<const InputRows> recorded_rows(const calibration::Calibration& calibration,
                                               const std::string& layer, int64_t rows);

}  // namespace octavo::report
