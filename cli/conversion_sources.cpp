#include "conversion_sources.hpp"

#include "base/error.hpp"
#include "installed_formats.hpp"
#include "plan/source_layers.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace octavo::cli {
namespace {

std::string plural(size_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

}  // namespace

ConversionSources::ConversionSources(const Conversion& conversion, const checkpoint::Checkpoint& source,
                                     Session& session)
    : settings_(conversion.settings) {
  if (!plan::quantized_layers(source).empty()) {
    formats_ = installed_formats(session);
    stored_ = report::survey(source, formats_);
  }
  merges_ = lora::plan_merges(conversion.loras, source);
  for (const lora::MergedFile& file : merges_.files)
    settings_.loras.push_back({file.data_hash, file.bytes, file.strength});
}

std::vector<std::string> ConversionSources::notes() const {
  std::vector<std::string> notes;
  for (const lora::MergedFile& file : merges_.files) {
    notes.push_back(fmt::format("LoRA {}: {} merged into {} with strength {:.6g}", printable(file.name),
                                plural(file.merged, "update"), plural(file.tensors, "tensor"),
                                file.strength));
    if (!file.elsewhere.empty()) {
      notes.push_back(fmt::format("LoRA {}: {} for networks that the checkpoint does not hold ({}{})",
                                  printable(file.name), plural(file.elsewhere.size(), "layer"),
                                  printable(file.elsewhere.front()),
                                  file.elsewhere.size() > 1 ? ", ..." : ""));
    }
    for (const lora::Problem& problem : file.problems) {
      notes.push_back(fmt::format("LoRA {}: {} is left out: {}", printable(file.name),
                                  printable(problem.entry), problem.why));
    }
  }
  return notes;
}

nlohmann::ordered_json ConversionSources::json() const {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const lora::MergedFile& file : merges_.files) {
    nlohmann::ordered_json one = {{"name", file.name},
                                  {"strength", file.strength},
                                  {"updates", file.merged},
                                  {"tensors", file.tensors},
                                  {"elsewhere", file.elsewhere}};
    one["left_out"] = nlohmann::ordered_json::array();
    for (const lora::Problem& problem : file.problems)
      one["left_out"].push_back({{"entry", problem.entry}, {"reason", problem.why}});
    all.push_back(std::move(one));
  }
  return all;
}

plan::Plan make_plan(const ConversionSources& sources, const checkpoint::Checkpoint& source, Session& session,
                     const plan::Unfit* unfit) {
  plan::Plan plan = plan::make_plan(sources.settings(), source, session.catalog(), session.services().host(),
                                    unfit, sources.changes());
  const std::vector<std::string> notes = sources.notes();
  plan.notes.insert(plan.notes.begin(), notes.begin(), notes.end());
  return plan;
}

}  // namespace octavo::cli
