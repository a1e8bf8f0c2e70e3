#include "layer_template.hpp"

#include "base/file.hpp"
#include "base/words.hpp"
#include "checkpoint/text_file.hpp"
#include "conversion_output.hpp"
#include "conversion_sources.hpp"
#include "plan/output_names.hpp"
#include "session.hpp"
#include "stored/quantized_layers.hpp"

#include <octavo/tensor.hpp>

#include <fmt/format.h>

#include <map>
#include <string>
#include <vector>

namespace octavo::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kSmallest = 16;

// `layer`: what it becomes, which codes that are quantized again do too; nullptr: nothing.
bool is_listed(const plan::PlannedTensor& tensor, const plan::PlannedLayer* layer) {
  const checkpoint::TensorInfo& info = tensor.source->info;
  return tensor.verdict.decision != plan::Decision::remove && info.name.ends_with(".weight") &&
         info.shape.size() == 2 && info.shape[0] >= kSmallest && info.shape[1] >= kSmallest &&
         (layer != nullptr || octavo::is_weight_dtype(info.dtype));
}

// "^blocks\.1\.attn$": matches this name and no other.
std::string anchored(std::string_view name) {
  std::string pattern = "^";
  for (const char c : name) {
    if (std::string_view("\\.^$*+?{}[]|()").find(c) != std::string_view::npos) pattern += '\\';
    pattern += c;
  }
  return pattern + "$";
}

Json entry_of(const plan::PlannedTensor& tensor, const plan::PlannedLayer* layer) {
  Json entry;
  if (layer == nullptr) {
    entry = {{"skip", true}, {"_reason", printable(tensor.verdict.reason)}};
  } else {
    entry["format"] = layer->format_spec;
    if (layer->optimizer_id != plan::kNearest) entry["optimizer"] = layer->optimizer_spec;
    if (layer->full_precision_matmul) entry["full_precision_matrix_mult"] = true;
  }
  entry["_shape"] = tensor.source->info.shape;
  if (layer != nullptr) entry["_shape"] = {layer->layer.rows, layer->layer.cols};  // codes may be padded
  return entry;
}

std::filesystem::path template_path(const Conversion& conversion) {
  return conversion.output.value_or(plan::file_beside(conversion.input, "_layer_config_template.json"));
}

}  // namespace

Json layer_template(const plan::Plan& plan) {
  std::map<const checkpoint::TensorRef*, const plan::PlannedLayer*> layers;
  for (const auto& layer : plan.layers) layers.emplace(layer->source, layer.get());
  Json made = Json::object();
  made["_about"] =
      "Patterns are regular expressions; of several that match, the one with the most literal text wins.";
  for (const plan::PlannedTensor& tensor : plan.tensors) {
    const auto found = layers.find(tensor.source);
    const plan::PlannedLayer* layer = found == layers.end() ? nullptr : found->second;
    if (!is_listed(tensor, layer)) continue;
    made[anchored(stored::base_name(tensor.source->info.name))] = entry_of(tensor, layer);
  }
  return made;
}

int write_layer_template(Conversion conversion, const Arguments& arguments, Terminal& terminal) {
  Session session(arguments, conversion.max_ram);
  complete_conversion(conversion, arguments, session);
  const checkpoint::Checkpoint source = checkpoint::Checkpoint::open(conversion.input);
  const ConversionSources sources(conversion, source, session);
  const plan::Plan plan = make_plan(sources, source, session);
  for (const std::string& warning : plan.warnings) Session::note(warning);
  const Json made = layer_template(plan);
  const std::filesystem::path path = template_path(conversion);
  checkpoint::write_text_file(path, made.dump(2) + "\n", conversion.force,
                              options_of_output(conversion, sources, source).inputs);
  const size_t entries = made.size() - 1;
  if (arguments.flag("json")) {
    terminal.print_json({{"schema", "octavo.template/1"}, {"output", path.string()}, {"layers", entries}});
  } else {
    terminal.print(fmt::format("{} in {}\n", plural(entries, "layer"), printable(path.string())));
  }
  return 0;
}

}  // namespace octavo::cli
