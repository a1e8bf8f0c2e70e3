// SPDX-License-Identifier: Apache-2.0
// Model filters in C++: derive from octavo::Model, write OCTAVO_MODEL_PLUGIN.
#pragma once

#include <octavo/abi/model.h>
#include <octavo/format.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace octavo {

struct Detection {
  std::uint32_t score = 0;  // 0: not this architecture; up to 1000
  std::string reason;
};

struct Classification {
  octavo_decision decision;
  std::string rule;
  std::string reason;
};

// The part of a checkpoint that is looked at.
struct ModelContext {
  HeaderView header;
  std::string_view part_prefix;
  std::int64_t block_count;
};

// A derived class has a constructor (const Host&, const Params&); members are const and may be called from
// any thread.
class Model {
 public:
  virtual ~Model() = default;
  virtual Detection detect(const ModelContext& context) const = 0;
  virtual Classification classify(const ModelContext& context, const HeaderTensor& tensor) const = 0;
  // Key of the weight whose output this layer, and every other layer that names it, reads and nothing else
  // does: the inverse of SmoothQuant's factors can be folded into it. Or "".
  virtual std::string fold_target(const ModelContext&, std::string_view /*layer*/) const { return {}; }
};

namespace detail {

template <typename Plugin>
struct ModelTrampolines {
  static ModelContext context_of(const octavo_model_context* raw) {
    return {HeaderView(raw->header), raw->part_prefix, raw->block_count};
  }
  static octavo_status detect(void* self, const octavo_model_context* context, octavo_detection* detection,
                              octavo_error* error) noexcept {
    return guard(error, [&] {
      const Detection made = static_cast<const Plugin*>(self)->detect(context_of(context));
      detection->score = made.score;
      copy_text(made.reason, detection->reason);
    });
  }
  static octavo_status classify(void* self, const octavo_model_context* context,
                                const octavo_header_tensor* tensor, octavo_classification* classification,
                                octavo_error* error) noexcept {
    return guard(error, [&] {
      const HeaderTensor view{0,
                              tensor->name,
                              static_cast<octavo_dtype>(tensor->dtype),
                              {tensor->shape, tensor->shape + tensor->rank}};
      const Classification made = static_cast<const Plugin*>(self)->classify(context_of(context), view);
      classification->decision = made.decision;
      copy_text(made.rule, classification->rule);
      copy_text(made.reason, classification->reason);
    });
  }
  static octavo_status fold_target(void* self, const octavo_model_context* context, const char* name,
                                   char* target, std::uint64_t target_size, octavo_error* error) noexcept {
    return guard(error, [&] {
      const std::string key = static_cast<const Plugin*>(self)->fold_target(context_of(context), name);
      if (key.size() >= target_size)
        throw PluginError(OCTAVO_BAD_ARGUMENT, "the fold target's key is too long");
      std::memcpy(target, key.c_str(), key.size() + 1);
    });
  }

  static constexpr octavo_model_api api = {
      sizeof(octavo_model_api), 0, create<Plugin>, destroy<Plugin>, detect, classify, fold_target};
};

}  // namespace detail
}  // namespace octavo

#define OCTAVO_MODEL_PLUGIN(CLASS, ...)                                                               \
  OCTAVO_DEFINE_PLUGIN(octavo::detail::descriptor(OCTAVO_KIND_MODEL, octavo::Description __VA_ARGS__, \
                                                  &octavo::detail::ModelTrampolines<CLASS>::api))
