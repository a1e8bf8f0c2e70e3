#include "commands.hpp"
#include "conversion.hpp"
#include "conversion_output.hpp"
#include "conversion_sources.hpp"
#include "original_flags.hpp"
#include "plan/fragile.hpp"
#include "plan_report.hpp"
#include "run/output.hpp"
#include "session.hpp"
#include "table.hpp"

#include <algorithm>
#include <future>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace octavo::cli {
namespace {

int run(const Arguments& arguments, Terminal& terminal) {
  Conversion conversion = read_conversion(arguments);
  // Decisions and sizes can be looked at where the output is there already; a place that is named is meant.
  const bool checks = conversion.output.has_value();
  return show_plan(std::move(conversion), checks, arguments, terminal);
}

std::vector<Option> options() {
  std::vector<Option> all = conversion_options();
  const auto output =
      std::find_if(all.begin(), all.end(), [](const Option& one) { return one.name == "output"; });
  output->help =
      "where convert would write; the plan fails where it could not (default: named, not looked at)";
  return all;
}

std::optional<Error> refusal_of_output(const Conversion& conversion, const ConversionSources& sources,
                                       const checkpoint::Checkpoint& source, const plan::Plan& plan,
                                       const run::Output& output) try {
  check_output(conversion, options_of_output(conversion, sources, source), plan, output);
  return std::nullopt;
} catch (const Error& error) {
  return error;
}

// The output, and the warnings of the programs that would load it: two walks over everything that is planned,
// one beside the other.
run::Output judged_output(const Conversion& conversion, plan::Plan& plan,
                          const checkpoint::Checkpoint& source) {
  std::future<std::vector<std::string>> warnings =
      std::async(std::launch::async | std::launch::deferred,
                 [&] { return loading_warnings(std::as_const(plan), source); });
  run::Output output = output_of(conversion, plan);
  for (std::string& warning : warnings.get()) plan.warnings.push_back(std::move(warning));
  return output;
}

}  // namespace

int show_plan(Conversion conversion, bool checks_output, const Arguments& arguments, Terminal& terminal) {
  Session session(arguments, conversion.max_ram);
  complete_conversion(conversion, arguments, session);
  const checkpoint::Checkpoint source = checkpoint::Checkpoint::open(conversion.input);
  const ConversionSources sources(conversion, source, session);
  plan::Plan plan = make_plan(sources, source, session);
  const run::Output output = judged_output(conversion, plan, source);
  for (const std::string& warning : plan.warnings) Session::note(warning);
  std::optional<Error> refusal = plan::refusal_of(plan);
  // A size that not even the smallest output keeps is known from the headers.
  if (!refusal) {
    plan::choose_fragile(
        {.min_sqnr_db = {}, .keep_worst = {}, .target_bytes = conversion.settings.fragile.target_bytes}, {},
        output.file_bytes());
  }
  if (!refusal && checks_output) refusal = refusal_of_output(conversion, sources, source, plan, output);
  if (arguments.flag("json")) {
    nlohmann::ordered_json json = plan_json(conversion, plan, output.file_bytes());
    json["loras"] = sources.json();
    if (sources.calibration() != nullptr) json["calibration"] = sources.calibration_json(plan);
    if (refusal) json["error"] = error_json(*refusal);
    terminal.print_json(json);
  } else {
    print_plan(conversion, plan, output.file_bytes(), true, terminal);
  }
  // Last, so that the reasons of all tensors stand before it.
  if (refusal) throw *refusal;
  return 0;
}

Command plan_command() {
  return {.name = "plan",
          .summary = "Show what convert would do, from headers alone: every decision, and the exact size",
          .examples = {{"octavo plan model.safetensors", "every tensor with its decision and the reason"},
                       {"octavo plan model.safetensors --format fp16 --json", "for programs"},
                       {"octavo plan model.safetensors --model none", "as if every 2-D weight were a layer"}},
          .positional = {"input", "FILE", 0, 1},
          .options = options,
          .run = run,
          .sections = flag_sections()};
}

}  // namespace octavo::cli
