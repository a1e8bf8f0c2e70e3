#include "plan/opened_treatments.hpp"

#include "base/error.hpp"
#include "plan/open_plugin.hpp"

#include <algorithm>
#include <utility>

namespace octavo::plan {
namespace {

constexpr const char* kBlockSize = "block_size";

// The block size for a plugin that has such a parameter and was not given a value for it.
void add_block_size(const plugin::Catalog& catalog, octavo_kind kind, plugin::Selection& selection,
                    uint32_t block_size) {
  if (block_size == 0) return;
  const std::vector<plugin::Parameter> params = catalog.find(kind, selection.id).descriptor.params;
  const auto is_block_size = [](const auto& item) { return item.name == kBlockSize; };
  if (std::none_of(params.begin(), params.end(), is_block_size)) return;
  if (std::any_of(selection.assignments.begin(), selection.assignments.end(), is_block_size)) return;
  selection.assignments.push_back({kBlockSize, std::to_string(block_size)});
}

std::string key_of(const plugin::Selection& selection) {
  std::string key = selection.id;
  for (const plugin::Assignment& assignment : selection.assignments)
    key += '\n' + assignment.name + '=' + assignment.value;
  return key;
}

template <typename Handle>
const SharedPlugin<Handle>& open_once(std::map<std::string, SharedPlugin<Handle>>& opened,
                                      plugin::Catalog& catalog, octavo_kind kind,
                                      const plugin::Selection& selection,
                                      const std::vector<plugin::Setting>& set, const octavo_host* host) {
  const std::string key = key_of(selection);
  if (const auto known = opened.find(key); known != opened.end()) return known->second;
  auto made = open_plugin<Handle>(catalog, kind, selection, set, host);
  SharedPlugin<Handle> shared{std::make_shared<Handle>(std::move(made.handle)), {selection.id, made.params}};
  return opened.emplace(key, std::move(shared)).first->second;
}

}  // namespace

std::string spec_of(const PlannedPlugin& plugin) {
  return plugin.params.empty() ? plugin.id : plugin.id + ":" + plugin.params;
}

std::optional<octavo_grid> usual_grid(const plugin::Format& format) {
  constexpr int64_t kEdge = 4096;
  octavo_layer layer{};
  layer.struct_size = sizeof layer;
  layer.dtype = OCTAVO_BF16;
  layer.name = "layer";
  layer.key = "layer.weight";
  layer.rows = layer.cols = kEdge;
  return format.grid(layer).grid;
}

OpenedTreatment TreatmentOpener::open(const Treatment& treatment) {
  if (!treatment.from_file) return open_plugins(treatment);
  try {
    return open_plugins(treatment);
  } catch (const Error& error) {
    const ErrorCode code = error.code() == ErrorCode::usage ? ErrorCode::bad_input : error.code();
    throw Error(code, fmt::format("[layer config] {}: {}", treatment.origin, without_operation(error.what())),
                error.hint());
  }
}

OpenedTreatment TreatmentOpener::open_plugins(const Treatment& treatment) {
  OpenedTreatment opened;
  opened.full_precision_matmul = treatment.full_precision_matmul;
  opened.bias_correction = treatment.bias_correction;
  opened.optimizer = open_optimizer(treatment.optimizer, treatment.block_size);
  plugin::Selection format = treatment.format;
  if (format.id.empty()) {
    const std::string own = opened.optimizer.handle->default_format();
    format = plugin::parse_selection(own.empty() ? settings_.default_format : own, "--format");
  }
  opened.format = open_format(std::move(format), treatment.block_size);
  // Casting leaves nothing to choose, and neither names nor records promise what does not happen.
  if (const auto grid = usual_grid(*opened.format.handle); grid && grid->code == OCTAVO_CODE_CAST)
    opened.optimizer = nearest();
  return opened;
}

SharedPlugin<plugin::Optimizer> TreatmentOpener::nearest() { return open_optimizer({kNearest, {}}, 0); }

SharedPlugin<plugin::Format> TreatmentOpener::open_format(plugin::Selection selection, uint32_t block_size) {
  add_block_size(catalog_, OCTAVO_KIND_FORMAT, selection, block_size);
  return open_once(formats_, catalog_, OCTAVO_KIND_FORMAT, selection, settings_.set, host_);
}

SharedPlugin<plugin::Optimizer> TreatmentOpener::open_optimizer(plugin::Selection selection,
                                                                uint32_t block_size) {
  add_block_size(catalog_, OCTAVO_KIND_OPTIMIZER, selection, block_size);
  return open_once(optimizers_, catalog_, OCTAVO_KIND_OPTIMIZER, selection, settings_.set, host_);
}

}  // namespace octavo::plan
