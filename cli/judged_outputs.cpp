#include "judged_outputs.hpp"

#include "installed_formats.hpp"
#include "report/recorded_rows.hpp"
#include "report_lanes.hpp"

#include <memory>
#include <set>
#include <string>

namespace octavo::cli {
namespace {

std::set<std::string> merged_layers(const plan::Plan& plan) {
  std::set<std::string> merged;
  for (const auto& layer : plan.layers) {
    if (layer->origin.deltas != nullptr) merged.insert(layer->name);
  }
  return merged;
}

}  // namespace

report::OutputReport judged_outputs(const plan::Plan& plan, const checkpoint::Checkpoint& source,
                                    const std::filesystem::path& written,
                                    const calibration::Calibration& calibration, Session& session,
                                    const run::ChosenDevice& device, const run::RunOptions& options,
                                    const CheckStop& check_stop) {
  const std::set<std::string> merged = merged_layers(plan);
  const checkpoint::Checkpoint stored = checkpoint::Checkpoint::open(written);
  const auto formats = installed_formats(session);
  const stored::Survey before = stored::survey(source, formats);
  const stored::Survey after = stored::survey(stored, formats);
  report::CompareOptions lanes = lanes_for_reports(device, options.lanes);
  lanes.progress = options.progress;
  lanes.check_stop = check_stop;
  const report::FindInputs find = [&](const std::string& layer) -> std::shared_ptr<const report::InputRows> {
    if (merged.contains(layer)) return nullptr;
    return report::recorded_rows(calibration, layer, report::kJudgingRows);
  };
  report::OutputReport report = report::judge_outputs({source, before}, {stored, after}, find, lanes);
  for (report::Incomparable& layer : report.left_out) {
    if (merged.contains(layer.name))
      layer.reason = "a LoRA is merged into it, so that its weights are in no file";
  }
  return report;
}

}  // namespace octavo::cli
