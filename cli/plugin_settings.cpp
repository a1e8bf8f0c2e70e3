#include "plugin_settings.hpp"

#include "base/error.hpp"
#include "suggest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace octavo::cli {
namespace {

std::set<std::string> used_optimizers(const plan::Settings& settings) {
  std::set<std::string> used = {settings.optimizer.id};
  const plan::LayerRules& rules = settings.rules;
  for (const plan::ConfiguredLayers& layers : rules.config) {
    if (layers.treatment) used.insert(layers.treatment->optimizer.id);
  }
  if (rules.custom) used.insert(rules.custom->treatment.optimizer.id);
  if (rules.fallback) used.insert(rules.fallback->optimizer.id);
  return used;
}

}  // namespace

std::vector<std::string> check_settings(const Conversion& conversion, const plugin::Catalog& catalog) {
  const std::vector<plugin::Record> records = catalog.records();
  const std::set<std::string> used = used_optimizers(conversion.settings);
  std::set<std::string> unused;
  for (const plugin::Setting& setting : conversion.set) {
    const auto record = std::find_if(records.begin(), records.end(),
                                     [&](const plugin::Record& one) { return one.id == setting.id; });
    if (record == records.end()) {
      std::vector<std::string> ids;
      for (const plugin::Record& one : records) ids.push_back(one.id);
      const std::string hint = suggestion(setting.id, ids);
      throw Error(ErrorCode::usage,
                  fmt::format("[options] --set: there is no plugin '{}'", printable(setting.id)),
                  hint.empty() ? "octavo plugins lists them" : hint);
    }
    if (record->kind == OCTAVO_KIND_OPTIMIZER && !used.contains(setting.id)) unused.insert(setting.id);
  }
  std::vector<std::string> lines;
  for (const std::string& id : unused)
    lines.push_back(fmt::format("--set {}.* has no effect: no layer is rounded by {}", id, id));
  return lines;
}

}  // namespace octavo::cli
