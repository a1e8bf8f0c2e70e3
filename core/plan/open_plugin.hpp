// From a plugin that was asked for to one in use, with its parameters.
#pragma once

#include "plugin/catalog.hpp"
#include "plugin/params.hpp"

#include <string>
#include <vector>

namespace octavo::plan {

// `own`: assignments of the selection; `set`: every `--set`, of which those of this id count, last.
// Handle: plugin::Format, Optimizer, Model or Backend. Throws what finding, opening and creating throw.
template <typename Handle>
Handle open_plugin(plugin::Catalog& catalog, octavo_kind kind, const plugin::Selection& selection,
                   const std::vector<plugin::Setting>& set, const octavo_host* host) {
  std::vector<plugin::Assignment> assignments = selection.assignments;
  for (const plugin::Setting& setting : set) {
    if (setting.id == selection.id) assignments.push_back(setting.assignment);
  }
  const plugin::Record record = catalog.find(kind, selection.id);
  return Handle(catalog.open(kind, selection.id), host, plugin::resolve(record.descriptor, assignments));
}

}  // namespace octavo::plan
