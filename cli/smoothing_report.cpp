#include "smoothing_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>

namespace octavo::cli {
namespace {

// "alpha 0.5", or "alpha 0.4 (3), 0.6 (1), none better (2)" of a search; "" before factors are found.
std::string alphas(const plan::Plan& plan) {
  if (plan.settings.smoothing->alpha) return fmt::format(", alpha {}", *plan.settings.smoothing->alpha);
  std::map<double, size_t> counts;
  for (const auto& group : plan.smoothings) {
    if (!group->factors.values.empty()) ++counts[group->alpha];
  }
  std::string text;
  for (const auto& [alpha, count] : counts) {
    const std::string shown = alpha == 0 ? "none is better" : fmt::format("{}", alpha);
    text += fmt::format("{}{} ({})", text.empty() ? ", alpha " : ", ", shown, count);
  }
  return text.empty() ? ", alpha by search" : text;
}

}  // namespace

nlohmann::ordered_json smoothing_json(const plan::SmoothingDecision& decision) {
  if (decision.refusal.empty()) return {{"smoothed", true}, {"target", decision.target}};
  return {{"smoothed", false}, {"reason", decision.refusal}};
}

nlohmann::ordered_json smoothing_json(const plan::Plan& plan) {
  nlohmann::ordered_json groups = nlohmann::ordered_json::array();
  for (const auto& group : plan.smoothings) {
    nlohmann::ordered_json one = {{"target", group->target},
                                  {"folded", !group->stored_in.has_value()},
                                  {"alpha", group->alpha},
                                  {"layers", nlohmann::ordered_json::array()}};
    for (const plan::SmoothedReader& reader : group->readers) one["layers"].push_back(reader.name);
    groups.push_back(std::move(one));
  }
  return groups;
}

void print_smoothing(const plan::Plan& plan, Terminal& terminal) {
  if (!plan.settings.smoothing) return;
  const auto layers = std::count_if(plan.tensors.begin(), plan.tensors.end(), [](const auto& tensor) {
    return tensor.smoothing && tensor.smoothing->refusal.empty();
  });
  const auto folds = std::count_if(plan.smoothings.begin(), plan.smoothings.end(),
                                   [](const auto& group) { return !group->stored_in.has_value(); });
  terminal.print(fmt::format("  smooth   {} layers, folded into {} norms and linears, stored with {}{}\n",
                             layers, folds, plan.smoothings.size() - static_cast<size_t>(folds),
                             alphas(plan)));
}

}  // namespace octavo::cli
