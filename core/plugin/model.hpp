// A model filter in use.
#pragma once

#include "plugin/header.hpp"
#include "plugin/instance.hpp"

#include <octavo/abi/model.h>

#include <cstdint>
#include <string>

namespace octavo::plugin {

// The part of a checkpoint that is looked at. `header` outlives it.
struct ModelContext {
  const Header& header;
  std::string part_prefix;       // "model.diffusion_model." or ""
  std::int64_t block_count = 0;  // numbered blocks of that part
};

struct Detection {
  std::uint32_t score = 0;  // 0: not this architecture; at most 1000
  std::string reason;
};

struct Classification {
  octavo_decision decision = OCTAVO_DECISION_KEEP;
  std::string rule;
  std::string reason;
};

// Members may be called from any thread.
class Model {
 public:
  Model(const octavo_plugin& plugin, const octavo_host* host, const Values& values)
      : instance_(plugin, host, values) {}

  const std::string& id() const { return instance_.who(); }
  Detection detect(const ModelContext& context) const;
  // `tensor`: index in the context's header.
  Classification classify(const ModelContext& context, std::uint64_t tensor) const;
  // Key of the tensor that a SmoothQuant factor of layer `name` can be folded into; "" if there is none.
  std::string fold_target(const ModelContext& context, const std::string& name) const;

 private:
  Instance<octavo_model_api> instance_;
};

}  // namespace octavo::plugin
