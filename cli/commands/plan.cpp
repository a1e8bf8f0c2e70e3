#include "commands.hpp"
#include "conversion.hpp"
#include "conversion_sources.hpp"
#include "original_flags.hpp"
#include "plan/fragile.hpp"
#include "plan_report.hpp"
#include "run/output.hpp"
#include "session.hpp"
#include "table.hpp"

namespace octavo::cli {
namespace {

int run(const Arguments& arguments, Terminal& terminal) {
  return show_plan(read_conversion(arguments), arguments, terminal);
}

}  // namespace

int show_plan(Conversion conversion, const Arguments& arguments, Terminal& terminal) {
  Session session(arguments, conversion.max_ram);
  complete_conversion(conversion, arguments, session);
  const checkpoint::Checkpoint source = checkpoint::Checkpoint::open(conversion.input);
  const ConversionSources sources(conversion, source, session);
  const plan::Plan plan = make_plan(sources, source, session);
  for (const std::string& warning : plan.warnings) Session::note(warning);
  const run::Output output(plan, output_path(conversion, plan),
                           conversion.shards ? &*conversion.shards : nullptr);
  const std::optional<Error> refusal = plan::refusal_of(plan);
  // A size that not even the smallest output keeps is known from the headers.
  if (!refusal) {
    plan::choose_fragile(
        {.min_sqnr_db = {}, .keep_worst = {}, .target_bytes = conversion.settings.fragile.target_bytes}, {},
        output.file_bytes());
  }
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
          .options = conversion_options,
          .run = run,
          .sections = flag_sections()};
}

}  // namespace octavo::cli
