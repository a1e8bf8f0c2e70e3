// SPDX-License-Identifier: Apache-2.0
// Optimizers in C++: derive from octavo::Optimizer, write OCTAVO_OPTIMIZER_PLUGIN.
#pragma once

#include <octavo/abi/optimizer.h>
#include <octavo/grid.hpp>
#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>

namespace octavo {

namespace detail {
template <typename Plugin>
struct OptimizerTrampolines;
}

// State of one prepared layer, or of one group of shared inputs. quantize() of several tiles reads it at
// once.
class OptimizerState {
 public:
  virtual ~OptimizerState() = default;
};

// What prepare() is given. Pointers live for the call.
struct PrepareRequest {
  octavo_lane& lane;
  const octavo_layer& layer;
  const octavo_grid& grid;
  const octavo_rows& rows;
  const octavo_inputs* inputs;   // nullptr: none are known
  const OptimizerState* shared;  // what prepare_inputs returned, or nullptr
};

struct Preparation {
  std::unique_ptr<OptimizerState> state;
  octavo_verdict verdict = OCTAVO_VERDICT_GO;
  std::string reason;
};

// One instance serves all lanes at once; members other than the constructor are const.
// A derived class has a constructor (const Host&, const Params&).
class Optimizer {
 public:
  static constexpr const char* default_format = "";  // hide it with the format that suits the optimizer best

  virtual ~Optimizer() = default;
  // OCTAVO_WANTS_* for this layer; rows are independent unless said otherwise.
  virtual std::uint32_t wants(const octavo_layer&, const octavo_grid&, bool /*has_inputs*/) const {
    return OCTAVO_WANTS_ROWS;
  }
  // State for all layers that share these inputs, in this grid's basis.
  virtual std::unique_ptr<OptimizerState> prepare_inputs(octavo_lane&, const octavo_inputs&,
                                                         const octavo_grid&) const {
    return nullptr;
  }
  virtual Preparation prepare(const PrepareRequest&) const { return {}; }
  // Loads what the first work on a device (OCTAVO_MEMORY_*) would wait for; runs beside everything else.
  virtual void warm_up(std::uint32_t /*memory*/, std::int32_t /*device*/) const {}
  // Writes the tile's codes and scales, and the sums of what it wrote.
  virtual void quantize(const OptimizerState* state, octavo_lane& lane, const octavo_tile& tile,
                        octavo_tile_result& result) const = 0;

 private:
  template <typename Plugin>
  friend struct detail::OptimizerTrampolines;

  // wants() has no status: what it throws is kept, and every later call fails with it.
  void keep_failure() const noexcept {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
  }
  void rethrow_failure() const {
    const std::lock_guard lock(mutex_);
    if (failure_) std::rethrow_exception(failure_);
  }

  mutable std::mutex mutex_;
  mutable std::exception_ptr failure_;
};

namespace detail {

template <typename Plugin>
struct OptimizerTrampolines {
  static const Optimizer& as_optimizer(void* self) { return *static_cast<const Plugin*>(self); }

  static std::uint32_t wants(void* self, const octavo_layer* layer, const octavo_grid* grid,
                             std::uint32_t has_inputs) noexcept {
    try {
      return static_cast<const Plugin*>(self)->wants(*layer, *grid, has_inputs != 0);
    } catch (...) {
      as_optimizer(self).keep_failure();
      return OCTAVO_WANTS_ROWS;
    }
  }
  static octavo_status prepare_inputs(void* self, octavo_lane* lane, const octavo_inputs* inputs,
                                      const octavo_grid* grid, void** shared, octavo_error* error) noexcept {
    return guard(error, [&] {
      as_optimizer(self).rethrow_failure();
      *shared = static_cast<const Plugin*>(self)->prepare_inputs(*lane, *inputs, *grid).release();
    });
  }
  static octavo_status prepare(void* self, octavo_lane* lane, const octavo_layer* layer,
                               const octavo_grid* grid, const octavo_rows* rows, const octavo_inputs* inputs,
                               void* shared, void** state, octavo_preparation* preparation,
                               octavo_error* error) noexcept {
    return guard(error, [&] {
      as_optimizer(self).rethrow_failure();
      const PrepareRequest request{*lane, *layer, *grid,
                                   *rows, inputs, static_cast<const OptimizerState*>(shared)};
      Preparation made = static_cast<const Plugin*>(self)->prepare(request);
      preparation->verdict = made.verdict;
      copy_text(made.reason, preparation->reason);
      *state = made.state.release();
    });
  }
  static octavo_status quantize(void* self, void* state, octavo_lane* lane, const octavo_tile* tile,
                                octavo_tile_result* result, octavo_error* error) noexcept {
    return guard(error, [&] {
      as_optimizer(self).rethrow_failure();
      static_cast<const Plugin*>(self)->quantize(static_cast<const OptimizerState*>(state), *lane, *tile,
                                                 *result);
    });
  }
  static void release(void*, void* state) noexcept { delete static_cast<OptimizerState*>(state); }
  static octavo_status warm_up(void* self, std::uint32_t memory, std::int32_t device,
                               octavo_error* error) noexcept {
    return guard(error, [&] { static_cast<const Plugin*>(self)->warm_up(memory, device); });
  }

  static constexpr octavo_optimizer_api api = {sizeof(octavo_optimizer_api),
                                               0,
                                               Plugin::default_format,
                                               create<Plugin>,
                                               destroy<Plugin>,
                                               wants,
                                               prepare_inputs,
                                               release,
                                               prepare,
                                               quantize,
                                               release,
                                               warm_up};
};

}  // namespace detail
}  // namespace octavo

#define OCTAVO_OPTIMIZER_PLUGIN(CLASS, ...)                                                               \
  OCTAVO_DEFINE_PLUGIN(octavo::detail::descriptor(OCTAVO_KIND_OPTIMIZER, octavo::Description __VA_ARGS__, \
                                                  &octavo::detail::OptimizerTrampolines<CLASS>::api))
