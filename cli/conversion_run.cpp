#include "conversion_run.hpp"

#include "plan/fragile.hpp"
#include "run/output.hpp"
#include "run/rehearse.hpp"
#include "run/signals.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

namespace octavo::cli {
namespace {

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

// Chooses the device when it is asked for the first time.
using GetDevice = std::function<run::ChosenDevice&()>;

// Plans are made until nothing depends on the data any more: `unfit` first holds what must stay as it is,
// then the layers that would lose the most, too.
class PlanFixer {
 public:
  PlanFixer(const Conversion& conversion, const ConversionSources& sources,
            const checkpoint::Checkpoint& source, Session& session, GetDevice device,
            const run::RunOptions& options)
      : conversion_(conversion),
        sources_(sources),
        source_(source),
        session_(session),
        device_(std::move(device)),
        options_(options) {
    options_.progress = [shown = options.progress](run::Progress now) {
      now.tensor = "measuring " + now.tensor;
      shown(now);
    };
  }

  plan::Plan fix() {
    plan::Plan plan = make_plan(sources_, source_, session_);
    if (plan.size_exact) return plan;
    unfit_ = run::measure(plan, source_, device_(), session_.services(), options_);
    plan = make_plan(sources_, source_, session_, &unfit_);
    return conversion_.settings.fragile.empty() ? std::move(plan) : without_fragile(std::move(plan));
  }

 private:
  plan::Plan without_fragile(plan::Plan plan) {
    const checkpoint::ShardRule* shards = conversion_.shards ? &*conversion_.shards : nullptr;
    const uint64_t file_bytes = run::Output(plan, output_path(conversion_, plan), shards).file_bytes();
    const run::RunReport report =
        run::rehearse(std::move(plan), source_, device_(), session_.services(), options_);
    const plan::FragileChoice choice =
        plan::choose_fragile(conversion_.settings.fragile, measured_layers(report), file_bytes);
    unfit_.insert(choice.stay.begin(), choice.stay.end());
    plan::Plan fixed = make_plan(sources_, source_, session_, &unfit_);
    fixed.notes.push_back(
        fmt::format("{} of {} layers stay in high precision, because they would lose the most",
                    choice.stay.size(), report.layers.size()));
    return fixed;
  }

  const Conversion& conversion_;
  const ConversionSources& sources_;
  const checkpoint::Checkpoint& source_;
  Session& session_;
  GetDevice device_;
  run::RunOptions options_;
  plan::Unfit unfit_;
};

checkpoint::OutputOptions output_options(const Conversion& conversion, const ConversionSources& sources,
                                         const checkpoint::Checkpoint& source) {
  checkpoint::OutputOptions options;
  options.force = conversion.force;
  options.verify = conversion.verify;
  options.inputs = source.identities();
  const std::vector<FileIdentity>& loras = sources.lora_identities();
  options.inputs.insert(options.inputs.end(), loras.begin(), loras.end());
  options.durable = conversion.durable;
  options.discard = conversion.discard;
  options.sink = conversion.sink;
  return options;
}

}  // namespace

Outcome convert(const Conversion& conversion, const ConversionSources& sources,
                const checkpoint::Checkpoint& source, Session& session, ProgressReporter& progress) {
  const auto start = std::chrono::steady_clock::now();
  const run::StopSignals signals;
  std::optional<run::ChosenDevice> chosen;
  const GetDevice device = [&]() -> run::ChosenDevice& {
    if (!chosen) {
      chosen =
          run::choose_device(conversion.device, conversion.set, session.catalog(), session.services().host());
      if (!chosen->note.empty()) Session::note(std::exchange(chosen->note, {}));
    }
    return *chosen;
  };
  run::RunOptions options = conversion.run;
  options.progress = [&](const run::Progress& now) { progress.update(now); };

  Outcome outcome;
  outcome.plan = PlanFixer(conversion, sources, source, session, device, options).fix();
  for (const std::string& warning : outcome.plan.warnings) Session::note(warning);
  outcome.path = output_path(conversion, outcome.plan);
  run::Output output(outcome.plan, outcome.path, conversion.shards ? &*conversion.shards : nullptr);
  outcome.file_bytes = output.file_bytes();
  // Before the device is asked for: the output's blocks are allocated while a GPU's driver starts.
  output.begin(output_options(conversion, sources, source));
  if (!conversion.discard) run::StopSignals::watch(output.temporary_paths());
  outcome.device = device().id;
  outcome.report = run::run(outcome.plan, source, device(), session.services(), output, options);
  source.verify_unchanged();
  progress.finish();
  outcome.notes = device().note;
  if (!outcome.notes.empty()) Session::note(outcome.notes);
  output.commit();
  run::StopSignals::watch({});
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return outcome;
}

Total total_of(const run::RunReport& report) {
  Total total;
  for (const run::LayerResult& layer : report.layers) {
    total.error += layer.error_sum;
    total.signal += layer.signal_sum;
  }
  return total;
}

nlohmann::ordered_json decibel_json(double error, double signal) {
  if (error == 0) return nullptr;  // nothing was lost
  return 10 * std::log10(signal / error);
}

std::string decibel_text(double error, double signal) {
  return error == 0 ? "exact" : fmt::format("{:.2f} dB", 10 * std::log10(signal / error));
}

}  // namespace octavo::cli
