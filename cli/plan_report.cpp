#include "plan_report.hpp"

#include "base/bytes.hpp"
#include "base/cpus.hpp"
#include "base/error.hpp"
#include "base/words.hpp"
#include "checkpoint/dtypes.hpp"
#include "plan/tile_shape.hpp"
#include "smoothing_report.hpp"
#include "table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace octavo::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Count {
  size_t tensors = 0;
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
};

std::map<plan::Decision, Count> count(const plan::Plan& plan) {
  std::map<plan::Decision, Count> counts;
  for (const plan::PlannedTensor& tensor : plan.tensors) {
    Count& count = counts[tensor.verdict.decision];
    ++count.tensors;
    count.bytes_in += tensor.source->info.bytes();
    count.bytes_out += tensor.bytes_out;
  }
  return counts;
}

// In place: a model has thousands of them.
void fill(Json& entry, const plan::PlannedTensor& tensor) {
  const checkpoint::TensorInfo& info = tensor.source->info;
  entry["name"] = info.name;
  entry["dtype"] = checkpoint::name(info.dtype);
  entry["shape"] = info.shape;
  entry["decision"] = plan::name(tensor.verdict.decision);
  entry["rule"] = tensor.verdict.rule;
  entry["reason"] = tensor.verdict.reason;
  entry["format"] = tensor.format;
  entry["optimizer"] = tensor.optimizer;
  entry["bytes_in"] = info.bytes();
  entry["bytes_out"] = tensor.bytes_out;
  if (tensor.smoothing) entry["smoothing"] = smoothing_json(*tensor.smoothing);
}

void print_tensors(const plan::Plan& plan, Terminal& terminal) {
  Table table({{"tensor"}, {"dtype"}, {"shape"}, {"decision"}, {"stored as"}, {"rule"}, {"reason"}});
  for (const plan::PlannedTensor& tensor : plan.tensors) {
    const checkpoint::TensorInfo& info = tensor.source->info;
    table.add({printable(info.name), checkpoint::name(info.dtype), shape_text(info.shape),
               plan::name(tensor.verdict.decision), tensor.format, printable(tensor.verdict.rule),
               printable(tensor.verdict.reason)});
  }
  terminal.print(table.text());
}

}  // namespace

PlannedMemory planned_memory(const Conversion& conversion, const plan::Plan& plan) {
  const uint64_t lanes = conversion.run.lanes != 0 ? conversion.run.lanes : usable_cpus();
  PlannedMemory memory{.lanes = lanes *
                                plan::slot_bytes(plan, conversion.run.tile_bytes.value_or(plan::kTileBytes))};
  uint64_t layers = 0;
  for (const auto& layer : plan.layers) {
    if (!plan::needs_admission(*layer)) continue;
    memory.largest_layer =
        std::max(memory.largest_layer, plan::leased_bytes(*layer) + plan::optimizer_bytes(*layer));
    ++layers;
  }
  memory.layers = std::min(lanes, layers) * memory.largest_layer;
  if (conversion.max_ram != 0)
    memory.layers = std::min(memory.layers, std::max(conversion.max_ram, memory.largest_layer));
  return memory;
}

nlohmann::ordered_json plan_json(const Conversion& conversion, const plan::Plan& plan, uint64_t file_bytes) {
  const PlannedMemory memory = planned_memory(conversion, plan);
  Json json = {
      {"schema", "octavo.plan/1"},
      {"input", conversion.input.string()},
      {"output", output_path(conversion, plan).string()},
      {"format", plan.format.id},
      {"optimizer", plan.optimizer.id},
      {"models", plan.model_reasons},
      {"bytes_in", plan.bytes_in},
      {"bytes_out", plan.bytes_out},
      {"file_bytes", file_bytes},
      {"size_exact", plan.size_exact},
      {"memory", memory.total()},
      {"memory_parts",
       {{"lanes", memory.lanes}, {"layers", memory.layers}, {"largest_layer", memory.largest_layer}}},
      {"notes", plan.notes},
      {"warnings", conversion.notes},
      {"tensors", Json::array()}};
  for (const std::string& warning : plan.warnings) json["warnings"].push_back(warning);
  Json& tensors = json["tensors"];
  tensors.get_ref<Json::array_t&>().reserve(plan.tensors.size());
  for (const plan::PlannedTensor& tensor : plan.tensors) fill(tensors.emplace_back(Json::object()), tensor);
  return json;
}

void print_plan(const Conversion& conversion, const plan::Plan& plan, uint64_t file_bytes, bool every,
                Terminal& terminal) {
  if (every) print_tensors(plan, terminal);
  terminal.print(fmt::format("{}\n", terminal.styled(Style::bold, printable(conversion.input.string()))));
  for (const std::string& reason : plan.model_reasons)
    terminal.print(fmt::format("  model    {}\n", printable(reason)));
  terminal.print(fmt::format("  format   {}, optimizer {}\n", plan.format.id, plan.optimizer.id));
  for (const auto& [decision, count] : count(plan)) {
    terminal.print(fmt::format("  {:<14} {:>6} {:<8} {:>9} -> {}\n", plan::name(decision), count.tensors,
                               count.tensors == 1 ? "tensor" : "tensors", format_bytes(count.bytes_in),
                               format_bytes(count.bytes_out)));
  }
  print_smoothing(plan, terminal);
  for (const std::string& note : plan.notes) terminal.print(fmt::format("  note     {}\n", note));
  terminal.print(fmt::format("  size     {} -> {} ({} bytes{})\n", format_bytes(plan.bytes_in),
                             format_bytes(file_bytes), file_bytes,
                             plan.size_exact ? "" : ", or more: a policy decides by the data"));
  const PlannedMemory memory = planned_memory(conversion, plan);
  terminal.print(
      fmt::format("  memory   {} for lanes{}\n", format_bytes(memory.lanes),
                  memory.largest_layer == 0
                      ? ""
                      : fmt::format(", {} for whole layers and what is prepared (largest {})",
                                    format_bytes(memory.layers), format_bytes(memory.largest_layer))));
}

}  // namespace octavo::cli
