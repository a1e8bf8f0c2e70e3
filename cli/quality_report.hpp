// The report of `--report-quality`: every converted layer with its errors, as stored.
#pragma once

#include "run/run.hpp"
#include "terminal.hpp"

#include <nlohmann/json.hpp>

namespace octavo::cli {

// Layers by name: mean square error, SQNR in dB, largest error; then the mean SQNR of those that lost
// something, how many lost nothing, and how many are below `threshold` dB.
void print_quality(const run::RunReport& report, double threshold, Terminal& terminal);

// {threshold_db, mean_sqnr_db (null: nothing was lost), exact, below: [names]}
nlohmann::ordered_json quality_json(const run::RunReport& report, double threshold);

}  // namespace octavo::cli
