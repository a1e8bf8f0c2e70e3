// From a plugin that was asked for to one in use, with its parameters.
#pragma once

#include "plugin/catalog.hpp"
#include "plugin/params.hpp"

#include <string>
#include <vector>

namespace octavo::plan {

// Handle: plugin::Format, Optimizer, Model or Backend.
template <typename Handle>
struct OpenedPlugin {
  Handle handle;
  std::string params;  // those that are not the default: "scale=tensor", "" if all are
};

// The assignments of the selection, then those of `set` (every `--set`) that are for its id.
// Throws what finding, opening and creating throw.
template <typename Handle>
OpenedPlugin<Handle> open_plugin(plugin::Catalog& catalog, octavo_kind kind,
                                 const plugin::Selection& selection, const std::vector<plugin::Setting>& set,
                                 const octavo_host* host) {
  std::vector<plugin::Assignment> assignments = selection.assignments;
  for (const plugin::Setting& setting : set) {
    if (setting.id == selection.id) assignments.push_back(setting.assignment);
  }
  const plugin::Record record = catalog.find(kind, selection.id);
  const plugin::Values values = plugin::resolve(record.descriptor, assignments);
  return {Handle(catalog.open(kind, selection.id), host, values),
          plugin::changed_values(record.descriptor, values)};
}

}  // namespace octavo::plan
