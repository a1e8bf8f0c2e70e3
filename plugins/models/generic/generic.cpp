// generic: what can be said about a tensor of any network. Used when no filter recognises the checkpoint.
#include "names.hpp"

#include <octavo/model_patterns.hpp>

#include <algorithm>

namespace {

using namespace octavo;

constexpr std::int64_t kSmallest =
    64;                                // below it a layer is nearly always a sensitive one, and saves nothing
constexpr std::int64_t kMultiple = 8;  // what INT8 matrix multiplications work in

std::string shape_of(const HeaderTensor& tensor) {
  return std::to_string(tensor.shape[0]) + " x " + std::to_string(tensor.shape[1]);
}

Classification by_name(const generic::NameReading& reading) {
  switch (reading.place) {
    case generic::Place::table:
      return {OCTAVO_DECISION_KEEP, reading.component, "a table that is looked up, not multiplied with"};
    case generic::Place::norm:
      return {OCTAVO_DECISION_KEEP, reading.component, "a normalisation"};
    case generic::Place::fixed_head:
      return {OCTAVO_DECISION_KEEP, reading.component, "loaders rename or transpose it, but not its scale"};
    case generic::Place::output_head:
      return {OCTAVO_DECISION_HIGH_PRECISION, reading.component, "the output head"};
    default:
      return {OCTAVO_DECISION_HIGH_PRECISION, reading.component,
              "at the ends of the network, where precision matters"};
  }
}

class Generic final : public Model {
 public:
  Generic(const Host&, const Params&) {}

  Detection detect(const ModelContext&) const override { return {1, "no filter recognised this checkpoint"}; }

  Classification classify(const ModelContext& context, const HeaderTensor& tensor) const override {
    if (std::optional<Classification> reason = not_a_layer(tensor)) return *std::move(reason);
    const std::int64_t rows = tensor.shape[0];
    const std::int64_t cols = tensor.shape[1];
    if (std::min(rows, cols) < kSmallest)
      return {OCTAVO_DECISION_KEEP, "size", shape_of(tensor) + " is below 64 in rows or columns"};
    if (rows % kMultiple != 0 || cols % kMultiple != 0)
      return {OCTAVO_DECISION_KEEP, "multiple of 8", "8 does not divide " + shape_of(tensor)};
    std::string_view name = tensor.name;
    if (name.starts_with(context.part_prefix)) name.remove_prefix(context.part_prefix.size());
    if (const auto reading = generic::read_name(name, rows, cols)) return by_name(*reading);
    return {OCTAVO_DECISION_QUANTIZE, "layer", "a 2-D float weight inside the network"};
  }
};

}  // namespace

OCTAVO_MODEL_PLUGIN(Generic, {.id = "generic",
                              .version = OCTAVO_PLUGIN_VERSION,
                              .summary = "Any network: keeps tables, norms, ends, and what is too small",
                              .flags = OCTAVO_MODEL_FALLBACK})
