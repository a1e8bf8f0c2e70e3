// Plugins as `octavo plugins` and `octavo doctor` show them.
#pragma once

#include "plugin/backend.hpp"
#include "plugin/catalog.hpp"
#include "session.hpp"
#include "terminal.hpp"

#include <nlohmann/json.hpp>

#include <optional>
#include <string>
#include <vector>

namespace octavo::cli {

struct PluginReport {
  plugin::Record record;
  std::optional<plugin::Probe> probe;  // nothing: was not asked
};

// Every record of the catalog. `probe`: usable plugins are opened and asked whether they can work here; one
// that cannot be opened is refused, with the reason.
std::vector<PluginReport> report_plugins(Session& session, bool probe);

nlohmann::ordered_json plugin_json(const PluginReport& report);

// A table; of refused and shadowed ones with the reason below it.
std::string plugin_table(const std::vector<PluginReport>& reports, const Terminal& terminal);

// One plugin with its parameters.
std::string plugin_details(const PluginReport& report, const Terminal& terminal);

}  // namespace octavo::cli
