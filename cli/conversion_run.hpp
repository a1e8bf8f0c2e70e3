// One conversion from the opened source to the durable name of its output.
#pragma once

#include "checkpoint/reader.hpp"
#include "conversion.hpp"
#include "conversion_sources.hpp"
#include "progress.hpp"
#include "report/output_error.hpp"
#include "run/run.hpp"
#include "session.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace octavo::cli {

struct Outcome {
  plan::Plan plan;
  run::RunReport report;
  std::filesystem::path path;
  uint64_t file_bytes = 0;
  std::string device;
  std::vector<std::string> notes;  // on the choice of the device, and what happened to it on the way
  double seconds = 0;              // from opening the source to the durable name
  std::optional<report::OutputReport> outputs;  // where they were to be judged and rows were recorded
};

// The outcome refers to `source` and `sources`. Says what the plan warns about. Throws what planning, the
// device, the run and the output throw, and Error interrupted or terminated after a signal; nothing is left
// behind then, but for an output that is complete and whose layers were being judged.
Outcome convert(const Conversion& conversion, const ConversionSources& sources,
                const checkpoint::Checkpoint& source, Session& session, ProgressReporter& progress);

// Over all layers: sums of squares of the stored errors and of the weights.
struct Total {
  double error = 0;
  double signal = 0;
};

Total total_of(const run::RunReport& report);

// `sqnr_db` in dB: null where nothing was lost, which `exact` then says, or where the sums are not finite.
void add_sqnr(nlohmann::ordered_json& json, double error, double signal);
// "exact" where nothing was lost.
std::string decibel_text(double error, double signal);

}  // namespace octavo::cli
