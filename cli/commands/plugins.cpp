// Listing plugins reads manifests; libraries are opened with --probe only.
#include "base/error.hpp"
#include "commands.hpp"
#include "plugin_report.hpp"
#include "session.hpp"
#include "suggest.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace octavo::cli {
namespace {

std::vector<PluginReport> of_kind(std::vector<PluginReport> reports, const std::optional<std::string>& kind) {
  if (!kind) return reports;
  std::erase_if(reports, [&](const PluginReport& report) {
    return !report.record.kind || plugin::kind_name(*report.record.kind) != *kind;
  });
  return reports;
}

std::vector<PluginReport> with_id(std::vector<PluginReport> reports, const std::string& id) {
  std::vector<std::string> known;
  known.reserve(reports.size());
  for (const PluginReport& report : reports) known.push_back(report.record.id);
  std::erase_if(reports, [&](const PluginReport& report) { return report.record.id != id; });
  if (reports.empty()) {
    throw Error(ErrorCode::usage, fmt::format("[plugins] there is no plugin '{}'", printable(id)),
                suggestion(id, known));
  }
  return reports;
}

int run(const Arguments& arguments, Terminal& terminal) {
  Session session(arguments);
  std::vector<PluginReport> reports =
      of_kind(report_plugins(session, arguments.flag("probe")), arguments.text("kind"));
  const auto id = arguments.text("id");
  if (id) reports = with_id(std::move(reports), *id);
  if (arguments.flag("json")) {
    nlohmann::ordered_json document = {{"schema", "octavo.plugins/1"}};
    document["plugins"] = nlohmann::ordered_json::array();
    for (const PluginReport& report : reports) document["plugins"].push_back(plugin_json(report));
    terminal.print_json(document);
  } else if (id) {
    for (const PluginReport& report : reports) terminal.print(plugin_details(report, terminal));
  } else {
    terminal.print(plugin_table(reports, terminal));
  }
  return 0;
}

std::vector<Option> options() {
  return {
      {.name = "probe", .help = "open every plugin and ask it whether it can work here"},
      {.name = "kind",
       .value = "KIND",
       .help = "only plugins of this kind",
       .choices = {"format", "optimizer", "model", "backend"}},
  };
}

}  // namespace

Command plugins_command() {
  return {.name = "plugins",
          .summary = "List the plugins that were found, with their state and parameters",
          .examples = {{"octavo plugins", "all of them"},
                       {"octavo plugins int8_convrot", "one, with its parameters"},
                       {"octavo plugins --probe --json", "and what each says about this machine"}},
          .positional = {"id", "[ID]", 0, 1},
          .options = options,
          .run = run};
}

}  // namespace octavo::cli
