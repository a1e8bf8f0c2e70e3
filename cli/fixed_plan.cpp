// A rehearsal quantizes every layer with the optimizer of the run. Without inputs nothing is stored: the
// errors of the codes are known when they are made. With inputs the outputs are judged as loaders compute
// them, from stored layers: these are written to a hidden file beside the output, which is removed.
#include "fixed_plan.hpp"

#include "base/file.hpp"
#include "checkpoint/output_lock.hpp"
#include "conversion_output.hpp"
#include "judged_outputs.hpp"
#include "plan/fragile.hpp"
#include "report/output_error.hpp"
#include "report/recorded_rows.hpp"
#include "report_lanes.hpp"
#include "run/output.hpp"
#include "run/rehearse.hpp"
#include "run/signals.hpp"
#include "smoothing/find_factors.hpp"

#include <fmt/format.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace octavo::cli {
namespace {

constexpr auto kCheckStop = [] { run::StopSignals::check(); };

std::vector<plan::MeasuredLayer> measured_layers(const run::RunReport& report) {
  std::vector<plan::MeasuredLayer> layers;
  for (const run::LayerResult& layer : report.layers) {
    layers.push_back({.name = layer.name,
                      .error = layer.error_sum,
                      .signal = layer.signal_sum,
                      .bytes_more = layer.bytes_in > layer.bytes_out ? layer.bytes_in - layer.bytes_out : 0});
  }
  return layers;
}

// A file that goes away with the object, and after a second signal.
class HiddenFile {
 public:
  explicit HiddenFile(const std::filesystem::path& beside)
      : path_(checkpoint::sibling(beside, checkpoint::part_suffix())) {}
  ~HiddenFile() {
    remove_quietly(path_);
    run::StopSignals::watch({});
  }
  HiddenFile(const HiddenFile&) = delete;
  HiddenFile& operator=(const HiddenFile&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

class PlanFixer {
 public:
  PlanFixer(const Conversion& conversion, const ConversionSources& sources,
            const checkpoint::Checkpoint& source, Session& session, const GetDevice& device,
            const run::RunOptions& options)
      : conversion_(conversion),
        sources_(sources),
        source_(source),
        session_(session),
        device_(device),
        options_(options) {
    options_.progress = [shown = options.progress](Progress now) {
      now.tensor = "measuring " + now.tensor;
      shown(now);
    };
  }

  plan::Plan fix() {
    plan::Plan plan = made_plan(nullptr);
    check_output(conversion_, options_of_output(conversion_, sources_, source_), plan,
                 output_of(conversion_, plan));
    if (!plan.size_exact) {
      unfit_ = run::measure(plan, source_, device_(), session_.services(), options_);
      plan = made_plan(&unfit_);
      if (!conversion_.settings.fragile.empty()) plan = without_fragile(std::move(plan));
    }
    find_smooth_factors(plan);
    for (std::string& warning : loading_warnings(plan, source_)) plan.warnings.push_back(std::move(warning));
    return plan;
  }

 private:
  // One with something to do.
  plan::Plan made_plan(const plan::Unfit* unfit) {
    plan::Plan plan = make_plan(sources_, source_, session_, unfit);
    if (const auto refusal = plan::refusal_of(plan)) throw *refusal;
    return plan;
  }

  // Of every plan that is carried out, or rehearsed: which layers stay decides which ones a factor is made
  // for.
  void find_smooth_factors(plan::Plan& plan) {
    if (plan.smoothings.empty()) return;
    report::CompareOptions lanes = lanes_for_reports(device_(), options_.lanes);
    lanes.check_stop = kCheckStop;
    smoothing::find_factors(plan, sources_of_run(), lanes);
  }

  plan::Plan without_fragile(plan::Plan plan) {
    const uint64_t file_bytes = output_of(conversion_, plan).file_bytes();
    find_smooth_factors(plan);
    std::vector<plan::MeasuredLayer> layers = measured(std::move(plan));
    const size_t count = layers.size();
    const plan::FragileChoice choice =
        plan::choose_fragile(conversion_.settings.fragile, std::move(layers), file_bytes);
    unfit_.insert(choice.stay.begin(), choice.stay.end());
    plan::Plan fixed = made_plan(&unfit_);
    fixed.notes.push_back(
        fmt::format("{} of {} layers stay in high precision, because they would lose the most",
                    choice.stay.size(), count));
    if (!judged_by_.empty()) fixed.notes.push_back(judged_by_);
    return fixed;
  }

  std::vector<plan::MeasuredLayer> measured(plan::Plan plan) {
    const calibration::Calibration* calibration = sources_.calibration();
    if (calibration == nullptr || !report::has_recorded_rows(*calibration)) {
      return measured_layers(
          run::rehearse(std::move(plan), sources_of_run(), device_(), session_.services(), options_));
    }
    const HiddenFile stored(output_path(conversion_, plan));
    std::vector<plan::MeasuredLayer> layers = measured_layers(store(plan, stored.path()));
    replace_by_outputs(layers, judged_outputs(plan, source_, stored.path(), *calibration, session_, device_(),
                                              options_, kCheckStop));
    return layers;
  }

  run::Sources sources_of_run() const { return {source_, sources_.calibration()}; }

  run::RunReport store(const plan::Plan& plan, const std::filesystem::path& path) {
    run::Output output(plan, path, nullptr);
    checkpoint::OutputOptions options;
    options.durable = false;
    options.verify = checkpoint::VerifyLevel::header;
    options.check_stop = kCheckStop;
    output.begin(options);
    std::vector<std::string> paths = output.temporary_paths();
    paths.push_back(path.string());
    run::StopSignals::watch(paths);
    run::RunReport report =
        run::run(plan, sources_of_run(), device_(), session_.services(), output, options_);
    output.commit();
    return report;
  }

  void replace_by_outputs(std::vector<plan::MeasuredLayer>& layers, const report::OutputReport& report) {
    std::map<std::string, const report::LayerOutputs*> outputs;
    for (const report::LayerOutputs& layer : report.layers) outputs.emplace(layer.name, &layer);
    size_t judged = 0;
    for (plan::MeasuredLayer& layer : layers) {
      const auto found = outputs.find(layer.name);
      if (found == outputs.end()) continue;
      const report::LayerOutputs& made = *found->second;
      layer.error = made.has_w8a8 ? made.stored.both : made.stored.weight;
      layer.signal = made.signal;
      ++judged;
    }
    judged_by_ =
        fmt::format("{} of {} layers are judged by their outputs on real inputs, the rest by their weights",
                    judged, layers.size());
  }

  const Conversion& conversion_;
  const ConversionSources& sources_;
  const checkpoint::Checkpoint& source_;
  Session& session_;
  const GetDevice& device_;
  run::RunOptions options_;
  plan::Unfit unfit_;
  std::string judged_by_;  // a sentence; "" without inputs
};

}  // namespace

plan::Plan fixed_plan(const Conversion& conversion, const ConversionSources& sources,
                      const checkpoint::Checkpoint& source, Session& session, const GetDevice& device,
                      const run::RunOptions& options) {
  return PlanFixer(conversion, sources, source, session, device, options).fix();
}

}  // namespace octavo::cli
