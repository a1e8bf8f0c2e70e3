// What a written file does to the outputs of its layers, on inputs that these were really given.
#pragma once

#include "base/work_sharing.hpp"
#include "calibration/calibration.hpp"
#include "checkpoint/reader.hpp"
#include "plan/plan.hpp"
#include "report/output_error.hpp"
#include "run/device.hpp"
#include "run/run.hpp"
#include "session.hpp"

#include <filesystem>

namespace octavo::cli {

// Of every layer of the plan with recorded rows, against the source; those into which a LoRA is merged are
// left out, because their weights are in no file. Throws as opening, reading, lanes and `check_stop` do.
report::OutputReport judged_outputs(const plan::Plan& plan, const checkpoint::Checkpoint& source,
                                    const std::filesystem::path& written,
                                    const calibration::Calibration& calibration, Session& session,
                                    const run::ChosenDevice& device, const run::RunOptions& options,
                                    const CheckStop& check_stop);

}  // namespace octavo::cli
