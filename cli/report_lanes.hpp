// Lanes of a chosen device, as reports use them.
#pragma once

#include "report/compare.hpp"
#include "run/device.hpp"

namespace octavo::cli {

// `lanes` 0: what the backend advises, else one for each CPU. The device outlives the result.
report::CompareOptions lanes_for_reports(const run::ChosenDevice& device, unsigned lanes);

}  // namespace octavo::cli
