#include "conversion_run.hpp"

#include "base/error.hpp"
#include "base/sqnr.hpp"
#include "conversion_output.hpp"
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
#include <future>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace octavo::cli {
namespace {

// Hardware that is not there is worth a line for who asks (-v), hardware that cannot be used a warning; what
// is noted afterwards happened on the way.
void note_choice(run::ChosenDevice& chosen, std::vector<std::string>& notes) {
  for (const std::string& absent : chosen.absent) spdlog::debug("{}", absent);
  notes.insert(notes.end(), chosen.absent.begin(), chosen.absent.end());
  if (chosen.note.empty()) return;
  Session::note(chosen.note);
  notes.push_back(std::exchange(chosen.note, {}));
}

// Chooses the device and brings it up while the run is planned (a GPU's driver takes 0.3 s, LibTorch 0.2 s to
// load). Says the choice, or what is wrong, when it is asked for. `notes` outlives it.
GetDevice device_in_time(const Conversion& conversion, Session& session, std::vector<std::string>& notes) {
  struct Started {
    std::optional<run::ChosenDevice> device;
    bool is_noted = false;
    std::shared_future<void> chosen;  // goes first
  };
  const auto started = std::make_shared<Started>();
  const auto choose = [&conversion, &session, &device = started->device] {
    device =
        run::choose_device(conversion.device, conversion.set, session.catalog(), session.services().host());
    device->warm_up();
  };
  started->chosen = std::async(std::launch::async | std::launch::deferred, choose);
  return [&notes, started]() -> run::ChosenDevice& {
    started->chosen.get();
    if (!std::exchange(started->is_noted, true)) note_choice(*started->device, notes);
    return *started->device;
  };
}

// For who asks (-v).
void say_layers(const run::RunReport& report) {
  for (const run::LayerResult& layer : report.layers) {
    spdlog::debug("{}: {} by {}, {}", printable(layer.name), layer.format, layer.optimizer,
                  decibel_text(layer.error_sum, layer.signal_sum));
  }
}

// How the outputs of the layers changed, on the rows that the calibration recorded.
void judge_outputs(Outcome& outcome, const Conversion& conversion, const ConversionSources& sources,
                   const checkpoint::Checkpoint& source, Session& session, run::ChosenDevice& device,
                   const run::RunOptions& options) {
  const calibration::Calibration* calibration = sources.calibration();
  if (!conversion.judges_outputs || calibration == nullptr || !report::has_recorded_rows(*calibration))
    return;
  const auto check_stop = [&] {
    run::StopSignals::check(fmt::format("{} is complete", printable(outcome.path.string())));
  };
  outcome.outputs =
      judged_outputs(outcome.plan, source, outcome.path, *calibration, session, device, options, check_stop);
}

}  // namespace

Outcome convert(const Conversion& conversion, const ConversionSources& sources,
                const checkpoint::Checkpoint& source, Session& session, ProgressReporter& progress) {
  const auto start = std::chrono::steady_clock::now();
  const run::StopSignals signals;
  Outcome outcome;
  const GetDevice device = device_in_time(conversion, session, outcome.notes);
  run::RunOptions options = conversion.run;
  options.progress = [&](const Progress& now) { progress.update(now); };

  outcome.plan = fixed_plan(conversion, sources, source, session, device, options);
  for (const std::string& warning : outcome.plan.warnings) Session::note(warning);
  run::Output output = output_of(conversion, outcome.plan);
  outcome.path = output.path();
  outcome.file_bytes = output.file_bytes();
  // Before the device is there: the output's blocks are allocated while a GPU's driver starts.
  output.begin(options_of_output(conversion, sources, source));
  if (!conversion.discard) run::StopSignals::watch(output.temporary_paths());
  outcome.report =
      run::run(outcome.plan, {source, sources.calibration()}, device(), session.services(), output, options);
  outcome.device = device().id;
  source.verify_unchanged();
  sources.verify_unchanged();
  progress.finish();
  say_layers(outcome.report);
  if (const std::string& happened = device().note; !happened.empty()) {
    Session::note(happened);
    outcome.notes.push_back(happened);
  }
  output.commit();
  run::StopSignals::watch({});
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  judge_outputs(outcome, conversion, sources, source, session, device(), options);
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

void add_sqnr(nlohmann::ordered_json& json, double error, double signal) {
  const std::optional<double> sqnr = sqnr_db(signal, error);
  const bool has_value = sqnr && std::isfinite(*sqnr);
  json["sqnr_db"] = has_value ? nlohmann::ordered_json(*sqnr) : nullptr;
  json["exact"] = !sqnr;
}

std::string decibel_text(double error, double signal) { return sqnr_text(sqnr_db(signal, error)); }

}  // namespace octavo::cli
