#include "layer_template.hpp"

#include "base/file.hpp"
#include "checkpoint/text_file.hpp"
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

bool is_listed(const plan::PlannedTensor& tensor) {
  const checkpoint::TensorInfo& info = tensor.source->info;
  return tensor.verdict.decision != plan::Decision::remove && info.name.ends_with(".weight") &&
         info.shape.size() == 2 && info.shape[0] >= kSmallest && info.shape[1] >= kSmallest &&
         octavo::is_weight_dtype(info.dtype);
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
    if (layer->optimizer_id != "nearest") entry["optimizer"] = layer->optimizer_spec;
    if (layer->full_precision_matmul) entry["full_precision_matrix_mult"] = true;
  }
  entry["_shape"] = tensor.source->info.shape;
  return entry;
}

std::filesystem::path template_path(const Conversion& conversion) {
  if (conversion.output) return *conversion.output;
  std::filesystem::path input = conversion.input;
  if (input.filename().empty()) input = input.parent_path();
  return input.parent_path() / (input.stem().string() + "_layer_config_template.json");
}

}  // namespace

Json layer_template(const plan::Plan& plan) {
  std::map<const checkpoint::TensorRef*, const plan::PlannedLayer*> layers;
  for (const auto& layer : plan.layers) layers.emplace(layer->source, layer.get());
  Json made = Json::object();
  made["_about"] =
      "Patterns are regular expressions; of several that match, the one with the most literal text wins.";
  for (const plan::PlannedTensor& tensor : plan.tensors) {
    if (!is_listed(tensor)) continue;
    const auto layer = layers.find(tensor.source);
    made[anchored(stored::base_name(tensor.source->info.name))] =
        entry_of(tensor, layer == layers.end() ? nullptr : layer->second);
  }
  return made;
}

int write_layer_template(Conversion conversion, const Arguments& arguments, Terminal& terminal) {
  Session session(arguments, conversion.max_ram);
  complete_conversion(conversion, arguments, session);
  const checkpoint::Checkpoint source = checkpoint::Checkpoint::open(conversion.input);
  std::vector<FileIdentity> inputs = source.identities();
  inputs.insert(inputs.end(), conversion.option_files.begin(), conversion.option_files.end());
  const plan::Plan plan =
      plan::make_plan(conversion.settings, source, session.catalog(), session.services().host());
  for (const std::string& warning : plan.warnings) Session::note(warning);
  const Json made = layer_template(plan);
  const std::filesystem::path path = template_path(conversion);
  checkpoint::write_text_file(path, made.dump(2) + "\n", conversion.force, inputs);
  const size_t entries = made.size() - 1;
  if (arguments.flag("json")) {
    terminal.print_json({{"schema", "octavo.template/1"}, {"output", path.string()}, {"layers", entries}});
  } else {
    terminal.print(fmt::format("{} layers in {}\n", entries, printable(path.string())));
  }
  return 0;
}

}  // namespace octavo::cli
