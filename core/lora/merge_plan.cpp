#include "lora/merge_plan.hpp"

#include "base/error.hpp"
#include "lora/names.hpp"
#include "lora/targets.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <utility>

namespace octavo::lora {
namespace {

constexpr double kDampening = 0.9;
constexpr size_t kShown = 5;

// [first dimension, all the others]; a vector is one column.
std::pair<int64_t, int64_t> extent(const checkpoint::TensorInfo& info) {
  const auto rows = info.shape.empty() ? int64_t{1} : static_cast<int64_t>(info.shape[0]);
  return {rows, rows == 0 ? 0 : static_cast<int64_t>(info.elements()) / rows};
}

std::string first_few(const std::vector<Problem>& problems) {
  std::string text;
  for (size_t i = 0; i < std::min(problems.size(), kShown); ++i)
    text += fmt::format("{}{}: {}", i == 0 ? "" : "; ", printable(problems[i].entry), problems[i].why);
  if (problems.size() > kShown) text += fmt::format("; and {} more", problems.size() - kShown);
  return text;
}

// Finds the places of one file's updates.
class FileMerger {
 public:
  FileMerger(const checkpoint::Checkpoint& source, const Targets& targets, LoraFile file, double strength)
      : source_(source), targets_(targets), file_(std::move(file)), strength_(strength) {
    report_.name = file_.name;
    report_.data_hash = file_.data_hash;
    report_.bytes = file_.bytes;
    report_.strength = strength;
    report_.problems = file_.problems;
  }

  MergedFile merge(MergePlan& plan) {
    for (const Target& update : file_.updates) place(update, plan);
    list_unmatched();
    report_.tensors = used_.size();
    if (report_.merged == 0) refuse_without_match();
    if (!plan.allow_partial && !report_.problems.empty()) refuse_problems();
    return std::move(report_);
  }

 private:
  void place(const Target& update, MergePlan& plan) {
    const NetworkName network = network_of_entry(update.adapter->layer);
    const std::optional<FoundLayer> layer = targets_.find(network);
    const checkpoint::TensorRef* tensor = layer ? tensor_of(*layer, update.bias) : nullptr;
    if (tensor == nullptr) {
      unmatched_.emplace_back(network.part, update.adapter->layer);
      return;
    }
    held_parts_.insert(network.part);
    const std::vector<RowRange> ranges = ranges_in(*tensor, layer->slice, *update.adapter);
    if (ranges.empty()) return;
    std::vector<Delta> added;
    added.reserve(ranges.size());
    const auto scale = static_cast<float>(strength_ * update.adapter->scale);
    for (const RowRange& range : ranges)
      added.push_back({update.adapter, scale, range.begin, range.rows, range.from});
    if (!claim(tensor->info.name, ranges, update.adapter->layer)) return;
    std::vector<Delta>& all = plan.deltas[tensor->info.name];
    all.insert(all.end(), added.begin(), added.end());
    used_.insert(tensor->info.name);
    ++report_.merged;
  }

  const checkpoint::TensorRef* tensor_of(const FoundLayer& layer, bool bias) const {
    if (bias) return source_.find(layer.base + ".bias");
    const checkpoint::TensorRef* weight = source_.find(layer.base + ".weight");
    return weight != nullptr ? weight : source_.find(layer.base);
  }

  std::vector<RowRange> ranges_in(const checkpoint::TensorRef& tensor, Slice slice, const Adapter& adapter) {
    const auto [rows, cols] = extent(tensor.info);
    std::vector<RowRange> ranges;
    if (adapter.cols == cols) ranges = rows_of(slice, rows, cols, adapter.rows);
    if (ranges.empty()) {
      report_.problems.push_back(
          {adapter.layer,
           fmt::format("it updates [{}, {}], and tensor {} is [{}]", adapter.rows, adapter.cols,
                       printable(tensor.info.name), fmt::join(tensor.info.shape, ", "))});
    }
    return ranges;
  }

  // False (and a problem) where this file has changed the same rows already.
  bool claim(const std::string& tensor, const std::vector<RowRange>& ranges, const std::string& layer) {
    std::vector<RowRange>& taken = taken_[tensor];
    for (const RowRange& range : ranges) {
      for (const RowRange& other : taken) {
        if (range.begin >= other.begin + other.rows || other.begin >= range.begin + range.rows) continue;
        report_.problems.push_back(
            {layer, fmt::format("another entry of this file updates tensor {} too", printable(tensor))});
        return false;
      }
    }
    taken.insert(taken.end(), ranges.begin(), ranges.end());
    return true;
  }

  // A network is there if one of its entries matched, or if the checkpoint's keys name it.
  void list_unmatched() {
    for (auto& [part, layer] : unmatched_) {
      if (held_parts_.contains(part) || targets_.names_part(part)) {
        report_.problems.push_back({layer, "no tensor of the checkpoint has this name"});
      } else {
        report_.elsewhere.push_back(layer);
      }
    }
  }

  [[noreturn]] void refuse_without_match() const {
    std::string why = "it holds no entry that can be used";
    if (!report_.problems.empty()) {
      why = first_few(report_.problems);
    } else if (!report_.elsewhere.empty()) {
      why = fmt::format("none of its {} layers is in the checkpoint, {} for one", report_.elsewhere.size(),
                        printable(report_.elsewhere.front()));
    }
    throw Error(ErrorCode::bad_input,
                fmt::format("[lora] {} changes nothing: {}", printable(report_.name), why),
                "is it a LoRA for this model?");
  }

  [[noreturn]] void refuse_problems() const {
    const size_t count = report_.problems.size();
    throw Error(ErrorCode::bad_input,
                fmt::format("[lora] {}: {} of its entries {} not merged: {}", printable(report_.name), count,
                            count == 1 ? "is" : "are", first_few(report_.problems)),
                "--allow-partial-lora merges the others");
  }

  const checkpoint::Checkpoint& source_;
  const Targets& targets_;
  LoraFile file_;
  double strength_;
  MergedFile report_;
  std::vector<std::pair<std::string, std::string>> unmatched_;  // part, layer
  std::set<std::string> held_parts_;
  std::set<std::string> used_;
  std::map<std::string, std::vector<RowRange>> taken_;
};

}  // namespace

WantedFile parse_wanted(const std::string& text) {
  const size_t colon = text.rfind(':');
  std::error_code ignored;
  if (colon == std::string::npos || colon == 0 || std::filesystem::exists(text, ignored)) return {text, 1};
  double strength = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, strength);
  if (error != std::errc() || stop != end) return {text, 1};
  if (!std::isfinite(strength)) {
    throw Error(ErrorCode::usage,
                fmt::format("[options] '{}': the strength of a LoRA is a finite number", printable(text)));
  }
  return {text.substr(0, colon), strength};
}

const std::vector<Delta>* MergePlan::find(std::string_view tensor) const {
  const auto found = deltas.find(tensor);
  return found == deltas.end() ? nullptr : &found->second;
}

MergePlan plan_merges(const Request& request, const checkpoint::Checkpoint& source) {
  MergePlan plan;
  plan.allow_partial = request.allow_partial;
  if (request.files.empty()) return plan;
  const Targets targets(source);
  double dampening = 1;
  for (const WantedFile& wanted : request.files) {
    LoraFile file = open_lora(wanted.path);
    plan.identities.insert(plan.identities.end(), file.identities.begin(), file.identities.end());
    const double strength = wanted.strength * request.strength * dampening;
    FileMerger merger(source, targets, std::move(file), strength);
    plan.files.push_back(merger.merge(plan));
    if (request.dampen) dampening *= kDampening;
  }
  return plan;
}

}  // namespace octavo::lora
