#include "conversion_run.hpp"

#include "base/error.hpp"
#include "checkpoint/preflight.hpp"
#include "fixed_plan.hpp"
#include "judged_outputs.hpp"
#include "report/recorded_rows.hpp"
#include "run/output.hpp"
#include "run/signals.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

namespace octavo::cli {
namespace {

checkpoint::OutputOptions options_of_output(const Conversion& conversion, const ConversionSources& sources,
                                            const checkpoint::Checkpoint& source) {
  checkpoint::OutputOptions options;
  options.force = conversion.force;
  options.verify = conversion.verify;
  options.inputs = source.identities();
  for (const auto& others : {sources.other_inputs(), conversion.option_files})
    options.inputs.insert(options.inputs.end(), others.begin(), others.end());
  options.durable = conversion.durable;
  options.discard = conversion.discard;
  options.sink = conversion.sink;
  return options;
}

// A page is refused before anything is written: where an input, the output or its folder of shards is.
void check_page(const std::filesystem::path& page, const std::filesystem::path& output,
                const checkpoint::OutputOptions& options) {
  const std::filesystem::path at = std::filesystem::weakly_canonical(page);
  const std::filesystem::path made = std::filesystem::weakly_canonical(output);
  if (at == made || at.parent_path() == made) {
    throw Error(ErrorCode::usage,
                fmt::format("[html] {} is the output or lies in it", printable(page.string())),
                "choose another file for the page");
  }
  checkpoint::check_target(page, checkpoint::OutputKind::file, options.force, options.inputs);
}

// Hardware that is not there is worth a line for who asks (-v), hardware that cannot be used a warning; what
// is noted afterwards happened on the way.
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
  options.progress = [&](const Progress& now) { progress.update(now); };

  outcome.plan = fixed_plan(conversion, sources, source, session, device, options);
  for (const std::string& warning : outcome.plan.warnings) Session::note(warning);
  outcome.path = output_path(conversion, outcome.plan);
  run::Output output(outcome.plan, outcome.path, conversion.shards ? &*conversion.shards : nullptr);
  outcome.file_bytes = output.file_bytes();
  const checkpoint::OutputOptions output_options = options_of_output(conversion, sources, source);
  if (conversion.page) check_page(*conversion.page, outcome.path, output_options);
  // Before the device is asked for: the output's blocks are allocated while a GPU's driver starts.
  output.begin(output_options);
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
  const calibration::Calibration* calibration = sources.calibration();
  if (conversion.judges_outputs && calibration != nullptr && report::has_recorded_rows(*calibration)) {
    outcome.outputs =
        judged_outputs(outcome.plan, source, outcome.path, *calibration, session, device(), options);
  }
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
