// An optimizer plugin in use.
#pragma once

#include "plugin/instance.hpp"

#include <octavo/abi/optimizer.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace octavo::plugin {

// What an optimizer keeps for one layer, or for a group of layers with the same inputs: released with the
// last handle, which must not outlive the optimizer. Empty if the optimizer keeps nothing.
using OptimizerState = std::shared_ptr<void>;

struct Preparation {
  OptimizerState state;
  octavo_verdict verdict = OCTAVO_VERDICT_GO;
  std::string reason;
};

// Fills `target` (f32 host memory [n, cols]) with rows [row_begin, row_begin + n) of the layer's source. May
// throw; any thread.
using ReadRows = std::function<void(std::int64_t row_begin, octavo_tensor& target)>;

// Members may be called from any thread.
class Optimizer {
 public:
  Optimizer(const octavo_plugin& plugin, const octavo_host* host, const Values& values)
      : instance_(plugin, host, values) {}

  const std::string& id() const { return instance_.who(); }
  // "id:name=value", or "" for the host's default.
  std::string default_format() const { return instance_.api().default_format; }
  // OCTAVO_WANTS_*. Without OCTAVO_WANTS_PREPARE there is no need to call prepare.
  std::uint32_t wants(const octavo_layer& layer, const octavo_grid& grid, bool has_inputs) const;
  // State for all layers with these inputs, in this grid's basis.
  OptimizerState prepare_inputs(octavo_lane& lane, const octavo_inputs& inputs,
                                const octavo_grid& grid) const;
  // `inputs` may be nullptr, `shared` empty. An optimizer without prepare answers GO with no state.
  Preparation prepare(octavo_lane& lane, const octavo_layer& layer, const octavo_grid& grid,
                      const ReadRows& rows, const octavo_inputs* inputs, const OptimizerState& shared) const;
  // Loads what the first work on a device would wait for.
  void warm_up(octavo_memory memory, std::int32_t device) const;
  // Issues the work for one tile; the result is valid once the lane's slot was waited for.
  void quantize(const OptimizerState& state, octavo_lane& lane, const octavo_tile& tile,
                octavo_tile_result& result) const;

 private:
  using Release = void (*)(void* self, void* state);
  OptimizerState own(void* state, Release release, const char* operation) const;

  Instance<octavo_optimizer_api> instance_;
};

}  // namespace octavo::plugin
