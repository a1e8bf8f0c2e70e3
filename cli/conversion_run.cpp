#include "conversion_run.hpp"

#include "fixed_plan.hpp"
#include "run/output.hpp"
#include "run/signals.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

namespace octavo::cli {
namespace {

checkpoint::OutputOptions output_options(const Conversion& conversion, const ConversionSources& sources,
                                         const checkpoint::Checkpoint& source) {
  checkpoint::OutputOptions options;
  options.force = conversion.force;
  options.verify = conversion.verify;
  options.inputs = source.identities();
  for (const FileIdentity& identity : sources.other_inputs()) options.inputs.push_back(identity);
  options.durable = conversion.durable;
  options.discard = conversion.discard;
  options.sink = conversion.sink;
  return options;
}

// Hardware that is not there is worth a line for who asks (-v), hardware that cannot be used a warning; what is
// noted afterwards happened on the way.
void note_choice(run::ChosenDevice& chosen, std::vector<std::string>& notes) {
  for (const std::string& absent : chosen.absent) spdlog::debug("{}", absent);
  notes.insert(notes.end(), chosen.absent.begin(), chosen.absent.end());
  if (chosen.note.empty()) return;
  Session::note(chosen.note);
  notes.push_back(std::exchange(chosen.note, {}));
}

}  // namespace

Outcome convert(const Conversion& conversion, const ConversionSources& sources,
                const checkpoint::Checkpoint& source, Session& session, ProgressReporter& progress) {
  const auto start = std::chrono::steady_clock::now();
  const run::StopSignals signals;
  Outcome outcome;
  std::optional<run::ChosenDevice> chosen;
  const GetDevice device = [&]() -> run::ChosenDevice& {
    if (!chosen) {
      chosen =
          run::choose_device(conversion.device, conversion.set, session.catalog(), session.services().host());
      note_choice(*chosen, outcome.notes);
    }
    return *chosen;
  };
  run::RunOptions options = conversion.run;
  options.progress = [&](const run::Progress& now) { progress.update(now); };

  outcome.plan = fixed_plan(conversion, sources, source, session, device, options);
  for (const std::string& warning : outcome.plan.warnings) Session::note(warning);
  outcome.path = output_path(conversion, outcome.plan);
  run::Output output(outcome.plan, outcome.path, conversion.shards ? &*conversion.shards : nullptr);
  outcome.file_bytes = output.file_bytes();
  // Before the device is asked for: the output's blocks are allocated while a GPU's driver starts.
  output.begin(output_options(conversion, sources, source));
  if (!conversion.discard) run::StopSignals::watch(output.temporary_paths());
  outcome.report =
      run::run(outcome.plan, {source, sources.calibration()}, device(), session.services(), output, options);
  outcome.device = device().id;
  source.verify_unchanged();
  progress.finish();
  if (const std::string& happened = device().note; !happened.empty()) {
    Session::note(happened);
    outcome.notes.push_back(happened);
  }
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
