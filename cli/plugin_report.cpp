#include "plugin_report.hpp"

#include "base/error.hpp"
#include "table.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace octavo::cli {
namespace {

using nlohmann::ordered_json;
using plugin::Parameter;
using plugin::Record;

std::string kind_text(const Record& record) {
  return record.kind ? std::string(plugin::kind_name(*record.kind)) : "?";
}

ordered_json parameter_json(const Parameter& parameter) {
  ordered_json json = {{"name", parameter.name},
                       {"type", plugin::type_name(parameter.type)},
                       {"default", parameter.default_value},
                       {"help", parameter.help}};
  const bool numeric = parameter.type == OCTAVO_PARAM_INTEGER || parameter.type == OCTAVO_PARAM_NUMBER;
  if (numeric) json["range"] = {parameter.minimum, parameter.maximum};
  if (!parameter.choices.empty()) json["choices"] = parameter.choices;
  return json;
}

std::string allowed(const Parameter& parameter) {
  if (!parameter.choices.empty()) return fmt::format("{}", fmt::join(parameter.choices, "|"));
  const bool numeric = parameter.type == OCTAVO_PARAM_INTEGER || parameter.type == OCTAVO_PARAM_NUMBER;
  const std::string type(plugin::type_name(parameter.type));
  return numeric ? fmt::format("{} {:g} to {:g}", type, parameter.minimum, parameter.maximum) : type;
}

Style style_of(plugin::State state) {
  return state == plugin::State::refused    ? Style::red
         : state == plugin::State::shadowed ? Style::yellow
                                            : Style::green;
}

// The table's last column: what a probe said, else what the plugin is.
std::string remark(const PluginReport& report) {
  const Record& record = report.record;
  if (!record.reason.empty()) return record.reason;
  const bool says_more = report.probe && record.kind == OCTAVO_KIND_BACKEND;
  if (says_more) return fmt::format("{} ({})", record.descriptor.summary, report.probe->reason);
  return record.descriptor.summary;
}

// "format fp16 1.0: what it is", without what is not known of a plugin that was refused.
std::string heading(const Record& record, const Terminal& terminal) {
  std::string text = record.kind ? kind_text(record) + " " : "";
  text += terminal.styled(Style::bold, printable(record.id));
  if (!record.descriptor.version.empty()) text += " " + record.descriptor.version;
  return record.descriptor.summary.empty() ? text : text + ": " + record.descriptor.summary;
}

}  // namespace

std::vector<PluginReport> report_plugins(Session& session, bool probe) {
  std::vector<PluginReport> reports;
  for (const Record& found : session.catalog().records()) {
    PluginReport report{found, {}};
    if (probe && plugin::is_usable(found)) {
      try {
        report.probe =
            plugin::probe(session.catalog().open(*found.kind, found.id), session.services().host());
        report.record.state = plugin::State::loaded;
      } catch (const Error& error) {
        report.record.state = plugin::State::refused;
        report.record.reason = error.what();
      }
    }
    reports.push_back(std::move(report));
  }
  std::stable_sort(reports.begin(), reports.end(), [](const PluginReport& a, const PluginReport& b) {
    return std::pair(kind_text(a.record), a.record.id) < std::pair(kind_text(b.record), b.record.id);
  });
  return reports;
}

ordered_json plugin_json(const PluginReport& report) {
  const Record& record = report.record;
  ordered_json json = {
      {"kind", record.kind ? ordered_json(plugin::kind_name(*record.kind)) : ordered_json(nullptr)},
      {"id", record.id},
      {"version", record.descriptor.version},
      {"summary", record.descriptor.summary},
      {"state", plugin::state_name(record.state)},
      {"reason", record.reason},
      {"hint", record.hint},
      {"path", record.path.string()},
      {"manifest", record.has_manifest},
      {"links", record.descriptor.links},
      {"flags", record.descriptor.flags}};
  json["params"] = ordered_json::array();
  for (const Parameter& parameter : record.descriptor.params)
    json["params"].push_back(parameter_json(parameter));
  if (!report.probe) return json;
  json["score"] = report.probe->score;
  json["probe"] = report.probe->reason;
  json["devices"] = ordered_json::array();
  for (const plugin::Device& device : report.probe->devices) {
    json["devices"].push_back(
        {{"index", device.index}, {"name", device.name}, {"memory_bytes", device.memory_bytes}});
  }
  return json;
}

std::string plugin_table(const std::vector<PluginReport>& reports, const Terminal& terminal) {
  const bool probed = std::any_of(reports.begin(), reports.end(),
                                  [](const auto& report) { return report.probe.has_value(); });
  std::vector<Table::Column> columns = {{"kind"}, {"id"}, {"version"}, {"state"}};
  if (probed) columns.push_back({"score", Table::Align::right});
  columns.push_back({""});
  Table table(columns);
  for (const PluginReport& report : reports) {
    const Record& record = report.record;
    std::vector<std::string> cells = {
        kind_text(record), printable(record.id), printable(record.descriptor.version),
        terminal.styled(style_of(record.state), std::string(plugin::state_name(record.state)))};
    if (probed) cells.push_back(report.probe ? fmt::format("{}", report.probe->score) : "");
    cells.push_back(remark(report));
    table.add(std::move(cells));
  }
  return table.text();
}

std::string plugin_details(const PluginReport& report, const Terminal& terminal) {
  const Record& record = report.record;
  std::string text = heading(record, terminal);
  text += fmt::format("\n  state  {}\n  file   {}\n", plugin::state_name(record.state),
                      printable(record.path.string()));
  if (!record.reason.empty()) text += fmt::format("  reason {}\n", record.reason);
  if (!record.hint.empty()) text += fmt::format("  hint   {}\n", record.hint);
  if (!record.descriptor.links.empty()) text += fmt::format("  links  {}\n", record.descriptor.links);
  if (report.probe) text += fmt::format("  score  {}: {}\n", report.probe->score, report.probe->reason);
  if (record.descriptor.params.empty()) return text;
  Table table({{"parameter"}, {"default"}, {"allowed"}, {""}});
  for (const Parameter& parameter : record.descriptor.params) {
    table.add({fmt::format("{}.{}", record.id, parameter.name), parameter.default_value, allowed(parameter),
               parameter.help});
  }
  return text + "\n" + table.text("  ");
}

}  // namespace octavo::cli
