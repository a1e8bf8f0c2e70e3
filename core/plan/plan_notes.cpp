#include "plan/plan_notes.hpp"

#include "base/bytes.hpp"
#include "base/error.hpp"
#include "base/words.hpp"

#include <fmt/format.h>

#include <map>

namespace octavo::plan {
namespace {

// "3 layers (a.b, ...)"
std::string counted(const std::vector<std::string>& names, std::string_view what) {
  return fmt::format("{} ({}{})", plural(names.size(), what), printable(names.front()),
                     names.size() > 1 ? ", ..." : "");
}

struct LeftOut {
  std::vector<std::string> names;
  uint64_t bytes = 0;
};

}  // namespace

std::vector<std::string> placement_notes(const Plan& plan) {
  std::map<std::string, std::vector<std::string>> by_note;
  for (const auto& layer : plan.layers) {
    if (!layer->note.empty()) by_note[layer->note].push_back(layer->name);
  }
  std::vector<std::string> notes;
  notes.reserve(by_note.size());
  for (const auto& [note, names] : by_note) notes.push_back(counted(names, "layer") + ": " + note);
  return notes;
}

std::vector<std::string> left_out_notes(const Plan& plan) {
  std::map<std::string, LeftOut> by_reason;
  for (const PlannedTensor& tensor : plan.tensors) {
    if (tensor.verdict.decision != Decision::remove || !tensor.verdict.rule.starts_with("model ")) continue;
    LeftOut& left_out = by_reason[tensor.verdict.reason];
    left_out.names.push_back(tensor.source->info.name);
    left_out.bytes += tensor.source->info.bytes();
  }
  std::vector<std::string> notes;
  notes.reserve(by_reason.size());
  for (const auto& [reason, left_out] : by_reason) {
    notes.push_back(fmt::format("{} of {} left out: {}", counted(left_out.names, "tensor"),
                                format_bytes(left_out.bytes), reason));
  }
  return notes;
}

}  // namespace octavo::plan
