#include "plugin_settings.hpp"

#include "base/error.hpp"
#include "plan/opened_treatments.hpp"
#include "suggest.hpp"

#include <octavo/abi/model.h>

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <span>

namespace octavo::cli {
namespace {

// What makes layers, by kind: the classes of layers name it, or inherit it.
struct UsedPlugins {
  std::set<std::string> formats;
  std::set<std::string> optimizers;
};

UsedPlugins used_plugins(const plan::Settings& settings, Session& session) {
  std::vector<plan::Treatment> treatments = {
      {.format = settings.format, .optimizer = settings.optimizer, .block_size = settings.block_size}};
  const plan::LayerRules& rules = settings.rules;
  for (const plan::ConfiguredLayers& layers : rules.config) {
    if (layers.treatment) treatments.push_back(*layers.treatment);
  }
  if (rules.custom) treatments.push_back(rules.custom->treatment);
  if (rules.fallback) treatments.push_back(*rules.fallback);
  plan::TreatmentOpener opener(settings, session.catalog(), session.services().host());
  UsedPlugins used;
  for (const plan::Treatment& treatment : treatments) {
    const plan::OpenedTreatment opened = opener.open(treatment);
    used.formats.insert(opened.format.plugin.id);
    used.optimizers.insert(opened.optimizer.plugin.id);
  }
  return used;
}

bool may_judge(const plugin::Record& model, const std::vector<std::string>& asked) {
  const auto has = [&](const std::string& id) {
    return std::find(asked.begin(), asked.end(), id) != asked.end();
  };
  const bool takes_part = (model.descriptor.flags & (OCTAVO_MODEL_AUTO | OCTAVO_MODEL_FALLBACK)) != 0;
  return has(model.id) || (takes_part && has("auto"));
}

// Why a parameter of this plugin has no effect; "" where it may have one.
std::string why_unused(const plugin::Record& record, const Conversion& conversion, const UsedPlugins& used) {
  switch (record.kind.value_or(OCTAVO_KIND_OPTIMIZER)) {
    case OCTAVO_KIND_FORMAT:
      return used.formats.contains(record.id) ? "" : "no layer is stored as " + record.id;
    case OCTAVO_KIND_MODEL:
      return may_judge(record, conversion.settings.models) ? "" : "no layer is chosen by " + record.id;
    case OCTAVO_KIND_BACKEND: {
      const std::string& asked = conversion.device.backend;
      return asked == "auto" || asked == record.id ? "" : "no work runs on " + record.id;
    }
    default:
      return used.optimizers.contains(record.id) ? "" : "no layer is rounded by " + record.id;
  }
}

const plugin::Record& record_of(const plugin::Setting& setting, const std::vector<plugin::Record>& records) {
  const auto record = std::find_if(records.begin(), records.end(),
                                   [&](const plugin::Record& one) { return one.id == setting.id; });
  if (record != records.end()) return *record;
  std::vector<std::string> ids;
  ids.reserve(records.size());
  for (const plugin::Record& one : records) ids.push_back(one.id);
  const std::string hint = suggestion(setting.id, ids);
  throw Error(ErrorCode::usage,
              fmt::format("[options] --set: there is no plugin '{}'", printable(setting.id)),
              hint.empty() ? "octavo plugins lists them" : hint);
}

}  // namespace

std::vector<std::string> check_settings(const Conversion& conversion, Session& session) {
  if (conversion.set.empty()) return {};
  const std::vector<plugin::Record> records = session.catalog().records();
  for (const plugin::Setting& setting : conversion.set) {
    const plugin::Record& record = record_of(setting, records);
    // One that is refused may have said nothing about itself, and is no use anyway.
    if (plugin::is_usable(record)) plugin::resolve(record.descriptor, std::span(&setting.assignment, 1));
  }
  const UsedPlugins used = used_plugins(conversion.settings, session);
  std::set<std::string> lines;
  for (const plugin::Setting& setting : conversion.set) {
    const std::string why = why_unused(record_of(setting, records), conversion, used);
    if (!why.empty()) lines.insert(fmt::format("--set {}.* has no effect: {}", setting.id, why));
  }
  return {lines.begin(), lines.end()};
}

}  // namespace octavo::cli
