#include "plugin/model.hpp"

#include "plugin/fault.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace octavo::plugin {
namespace {

octavo_model_context raw_of(const ModelContext& context) {
  return {sizeof(octavo_model_context), 0, context.header.raw(), context.part_prefix.c_str(),
          context.block_count};
}

}  // namespace

Detection Model::detect(const ModelContext& context) const {
  const octavo_model_context raw = raw_of(context);
  octavo_detection made{};
  made.struct_size = sizeof made;
  call(id(), "detect",
       [&](octavo_error* error) { return instance_.api().detect(instance_.self(), &raw, &made, error); });
  return {std::min(made.score, 1000u), text_of(made.reason)};
}

Classification Model::classify(const ModelContext& context, std::uint64_t tensor) const {
  const octavo_model_context raw = raw_of(context);
  const octavo_header_tensor view = context.header.tensor(tensor);
  octavo_classification made{};
  made.struct_size = sizeof made;
  call(id(), "classify", [&](octavo_error* error) {
    return instance_.api().classify(instance_.self(), &raw, &view, &made, error);
  });
  if (made.decision < OCTAVO_DECISION_QUANTIZE || made.decision > OCTAVO_DECISION_REFUSE) {
    throw_fault(
        id(), "classify",
        fmt::format("the decision for '{}' is {}, 1 to 5 was expected", printable(view.name), made.decision));
  }
  return {static_cast<octavo_decision>(made.decision), text_of(made.rule), text_of(made.reason)};
}

std::string Model::fold_target(const ModelContext& context, const std::string& name) const {
  if (instance_.api().fold_target == nullptr) return {};
  const octavo_model_context raw = raw_of(context);
  char target[4097] = {};  // names of tensors have at most 4096 bytes
  call(id(), "fold_target", [&](octavo_error* error) {
    return instance_.api().fold_target(instance_.self(), &raw, name.c_str(), target, sizeof target, error);
  });
  return text_of(target);
}

}  // namespace octavo::plugin
