#include "conversion_sources.hpp"

#include "base/error.hpp"
#include "base/words.hpp"
#include "consumers/consumers.hpp"
#include "installed_formats.hpp"
#include "stored/quantized_layers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace octavo::cli {
ConversionSources::ConversionSources(const Conversion& conversion, const checkpoint::Checkpoint& source,
                                     Session& session)
    : settings_(conversion.settings) {
  if (!stored::quantized_layers(source).empty()) {
    formats_ = installed_formats(session);
    stored_ = stored::survey(source, formats_);
  }
  merges_ = lora::plan_merges(conversion.loras, source);
  for (const lora::MergedFile& file : merges_.files)
    settings_.loras.push_back({file.data_hash, file.bytes, file.strength});
  open_calibration(conversion.calibration, source);
}

void ConversionSources::open_calibration(const CalibrationRequest& request,
                                         const checkpoint::Checkpoint& source) {
  if (request.empty()) return;
  calibration_.emplace(calibration::Options{request.rows, settings_.seed});
  for (const std::filesystem::path& path : request.scales) calibration_->add(path);
  for (const std::filesystem::path& path : request.files) calibration_->add(path);
  warnings_ = calibration_->notes();
  const std::vector<std::string> found = calibration_->check_against(source);
  warnings_.insert(warnings_.end(), found.begin(), found.end());
  settings_.calibration = {calibration_->hash(), calibration_->bytes(), request.rows};
}

std::vector<FileIdentity> ConversionSources::other_inputs() const {
  std::vector<FileIdentity> all = merges_.identities;
  if (calibration_) {
    const std::vector<FileIdentity>& more = calibration_->identities();
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

void ConversionSources::verify_unchanged() const {
  if (calibration_) calibration_->verify_unchanged();
}

nlohmann::ordered_json ConversionSources::calibration_json(const plan::Plan& plan) const {
  const auto count = [&](const auto& is_counted) {
    return std::count_if(plan.layers.begin(), plan.layers.end(),
                         [&](const auto& layer) { return layer->inputs != nullptr && is_counted(*layer); });
  };
  return {{"rows", settings_.calibration->rows},
          {"layers", count([](const plan::PlannedLayer&) { return true; })},
          {"layers_with_inputs",
           count([](const plan::PlannedLayer& layer) { return layer.inputs->has_samples(); })},
          {"biases", count([](const plan::PlannedLayer& layer) { return layer.bias.has_value(); })}};
}

std::vector<std::string> ConversionSources::notes() const {
  std::vector<std::string> notes;
  for (const lora::MergedFile& file : merges_.files) {
    notes.push_back(fmt::format("LoRA {}: {} merged into {} with strength {:.6g}", printable(file.name),
                                plural(file.merged, "update"), plural(file.tensors, "tensor"),
                                file.strength));
    if (!file.elsewhere.empty()) {
      notes.push_back(fmt::format("LoRA {}: {} for networks that the checkpoint does not hold ({}{})",
                                  printable(file.name), plural(file.elsewhere.size(), "layer"),
                                  printable(file.elsewhere.front()),
                                  file.elsewhere.size() > 1 ? ", ..." : ""));
    }
    for (const lora::Problem& problem : file.problems) {
      notes.push_back(fmt::format("LoRA {}: {} is left out: {}", printable(file.name),
                                  printable(problem.entry), problem.why));
    }
  }
  return notes;
}

nlohmann::ordered_json ConversionSources::json() const {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const lora::MergedFile& file : merges_.files) {
    nlohmann::ordered_json one = {{"name", file.name},
                                  {"strength", file.strength},
                                  {"updates", file.merged},
                                  {"tensors", file.tensors},
                                  {"elsewhere", file.elsewhere}};
    one["left_out"] = nlohmann::ordered_json::array();
    for (const lora::Problem& problem : file.problems)
      one["left_out"].push_back({{"entry", problem.entry}, {"reason", problem.why}});
    all.push_back(std::move(one));
  }
  return all;
}

plan::Plan make_plan(const ConversionSources& sources, const checkpoint::Checkpoint& source, Session& session,
                     const plan::Unfit* unfit) {
  plan::Plan plan = plan::make_plan(sources.settings(), source, session.catalog(), session.services().host(),
                                    unfit, sources.changes());
  const std::vector<std::string> notes = sources.notes();
  plan.notes.insert(plan.notes.begin(), notes.begin(), notes.end());
  plan.warnings.insert(plan.warnings.begin(), sources.warnings().begin(), sources.warnings().end());
  return plan;
}

std::vector<std::string> loading_warnings(const plan::Plan& plan, const checkpoint::Checkpoint& source) {
  return loading_warnings(planned_file(plan, source));
}

}  // namespace octavo::cli
