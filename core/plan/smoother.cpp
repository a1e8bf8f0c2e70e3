#include "plan/smoother.hpp"

#include "base/error.hpp"
#include "base/words.hpp"
#include "checkpoint/dtypes.hpp"
#include "stored/quantized_layers.hpp"

#include <octavo/tensor.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace octavo::plan {
namespace {

using checkpoint::TensorRef;

const TensorRef* bias_of(const checkpoint::Checkpoint& source, const std::string& weight) {
  const std::string_view base = stored::base_name(weight);
  return base == weight ? nullptr : source.find(std::string(base) + ".bias");
}

int64_t columns_of_shape(const stored::Layer* stored, const TensorRef& tensor) {
  return stored != nullptr ? stored->cols : static_cast<int64_t>(tensor.info.shape[1]);
}

}  // namespace

bool knows_channel_max(const calibration::InputGroup* inputs) {
  if (inputs == nullptr) return false;
  return !inputs->contents.channel_max.empty() || (inputs->has_samples() && inputs->contents.recorded);
}

Smoother::Smoother(const SmoothingContext& context) : context_(context) {
  collect();
  for (auto& [target, candidate] : candidates_) form(target, candidate);
}

void Smoother::collect() {
  const auto& tensors = context_.source.tensors();
  for (size_t i = 0; i < tensors.size(); ++i) {
    const bool is_layer = tensors[i].info.shape.size() == 2 || context_.stored.find(tensors[i]) != nullptr;
    if (!is_layer || context_.decide(i).decision == Decision::remove) continue;
    const std::string target = context_.rules.fold_target(i);
    if (target.empty()) continue;
    candidates_[target].readers.push_back(i);
    targets_.emplace(&tensors[i], target);
  }
}

RowOrigin Smoother::origin_of(const TensorRef& tensor) const {
  const std::vector<lora::Delta>* deltas =
      context_.merges == nullptr ? nullptr : context_.merges->find(tensor.info.name);
  return {&tensor, context_.stored.find(tensor), deltas};
}

// Its values can be changed: floats that a factor can be folded into, or a layer that is dequantized first.
bool Smoother::is_scalable(const TensorRef& tensor) const {
  if (context_.stored.find(tensor) != nullptr) return true;
  return octavo::is_weight_dtype(tensor.info.dtype) &&
         stored::owner_of(tensor.info.name, context_.stored.remaining(context_.rules.quantized_layers()))
             .empty();
}

// "" if the producer's rows can be divided by one factor for each of the channels.
std::string Smoother::unfit_target(const std::string& target, int64_t channels) const {
  const auto shown = [&] { return printable(target); };
  const TensorRef* weight = context_.source.find(target);
  if (weight == nullptr) return fmt::format("{}, which it would be folded into, is not in the file", shown());
  if (!is_scalable(*weight)) {
    return fmt::format("{}, which it would be folded into, is {} and stays so", shown(),
                       checkpoint::name(weight->info.dtype));
  }
  const stored::Layer* stored = context_.stored.find(*weight);
  const std::vector<uint64_t>& shape = weight->info.shape;
  const bool has_rows = shape.size() == 1 || shape.size() == 2;
  const int64_t rows = stored != nullptr ? stored->rows : has_rows ? static_cast<int64_t>(shape[0]) : 0;
  if (rows != channels) {
    return fmt::format("{}, which it would be folded into, makes {} channels, and {} are read", shown(), rows,
                       channels);
  }
  const auto index = static_cast<size_t>(weight - context_.source.tensors().data());
  if (context_.decide(index).decision == Decision::remove)
    return fmt::format("{}, which it would be folded into, is left out", shown());
  const TensorRef* bias = bias_of(context_.source, target);
  if (bias != nullptr && (!is_scalable(*bias) || static_cast<int64_t>(bias->info.elements()) != channels))
    return fmt::format("the bias beside {} cannot be divided", shown());
  return {};
}

std::string Smoother::unfit_reader(size_t index, int64_t channels) const {
  const TensorRef& weight = context_.source.tensors()[index];
  if (!is_scalable(weight)) {
    return fmt::format("{} reads the same inputs, is {} and stays so", printable(weight.info.name),
                       checkpoint::name(weight.info.dtype));
  }
  const int64_t cols = columns_of_shape(context_.stored.find(weight), weight);
  if (cols == channels) return {};
  return fmt::format("{} is said to read the same inputs, and has {} columns, not {}",
                     printable(weight.info.name), cols, channels);
}

void Smoother::form(const std::string& target, Candidate& candidate) {
  const auto& tensors = context_.source.tensors();
  const TensorRef& first = tensors[candidate.readers.front()];
  const int64_t channels = columns_of_shape(context_.stored.find(first), first);
  candidate.refusal = unfit_target(target, channels);
  auto group = std::make_unique<Smoothing>();
  group->target = target;
  group->channels = channels;
  bool knows_maxima = false;
  for (const size_t index : candidate.readers) {
    if (candidate.refusal.empty()) candidate.refusal = unfit_reader(index, channels);
    const std::string name(stored::base_name(tensors[index].info.name));
    const calibration::InputGroup* inputs = context_.calibration.find(name);
    knows_maxima = knows_maxima || knows_channel_max(inputs);
    group->readers.push_back({name, origin_of(tensors[index]), inputs, nullptr});
  }
  if (candidate.refusal.empty() && !knows_maxima) candidate.refusal = kNoMaxima;
  if (!candidate.refusal.empty()) return;
  const TensorRef* producer = context_.source.find(target);
  const TensorRef* bias = bias_of(context_.source, target);
  if (producer->info.shape.size() == 1) {
    group->gain = origin_of(*producer);
    if (bias != nullptr) group->shift = origin_of(*bias);
  }
  for (const size_t index : candidate.readers) columns_.emplace(&tensors[index], group.get());
  rows_.emplace(producer, group.get());
  if (bias != nullptr) rows_.emplace(bias, group.get());
  groups_.push_back(std::move(group));
}

const SmoothFactors* Smoother::columns_of(const TensorRef& tensor) const {
  const auto found = columns_.find(&tensor);
  return found == columns_.end() ? nullptr : &found->second->factors;
}

const SmoothFactors* Smoother::rows_of(const TensorRef& tensor) const {
  const auto found = rows_.find(&tensor);
  return found == rows_.end() ? nullptr : &found->second->factors;
}

std::string Smoother::target_of(const TensorRef& weight) const {
  const auto found = columns_.find(&weight);
  return found == columns_.end() ? std::string() : found->second->target;
}

std::string Smoother::why_not(const TensorRef& weight) const {
  const auto named = targets_.find(&weight);
  if (named != targets_.end()) return candidates_.find(named->second)->second.refusal;
  return "the model filter names no norm or linear whose output it reads alone";
}

Smoothing* Smoother::store_with(const TensorRef& weight, const SmoothedReader& reader, int64_t channels) {
  if (!knows_channel_max(reader.inputs)) return nullptr;
  Smoothing& group = *groups_.emplace_back(std::make_unique<Smoothing>());
  group.target = reader.name;
  group.readers.push_back(reader);
  group.channels = channels;
  columns_.emplace(&weight, &group);
  return &group;
}

void Smoother::set_grid(const TensorRef& weight, const octavo_grid& grid) {
  const auto found = columns_.find(&weight);
  if (found == columns_.end()) return;
  for (SmoothedReader& reader : found->second->readers) {
    if (reader.origin.tensor == &weight) reader.grid = &grid;
  }
}

std::vector<std::unique_ptr<Smoothing>> Smoother::take() { return std::move(groups_); }

std::vector<std::string> smoothing_refusals(const std::vector<PlannedTensor>& tensors) {
  std::map<std::string, std::vector<std::string_view>> refused;
  bool some_smoothed = false;
  for (const PlannedTensor& tensor : tensors) {
    if (!tensor.smoothing) continue;
    some_smoothed = some_smoothed || tensor.smoothing->refusal.empty();
    if (!tensor.smoothing->refusal.empty())
      refused[tensor.smoothing->refusal].push_back(stored::base_name(tensor.source->info.name));
  }
  std::vector<std::string> lines;
  lines.reserve(refused.size() + 1);
  for (const auto& [reason, names] : refused) {
    lines.push_back(fmt::format("{} ({}{}) not smoothed: {}", plural(names.size(), "layer is", "layers are"),
                                printable(names.front()), names.size() > 1 ? ", ..." : "", reason));
  }
  if (!some_smoothed) {
    throw Error(ErrorCode::unsupported,
                fmt::format("[plan] no layer can be smoothed: {}", fmt::join(lines, "; ")),
                "leave out --smoothquant; a format that rotates columns spreads outliers without it");
  }
  return lines;
}

}  // namespace octavo::plan
