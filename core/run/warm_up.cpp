#include "run/warm_up.hpp"

#include "base/try_to.hpp"

#include <cstdint>
#include <memory>
#include <set>
#include <utility>

namespace octavo::run {
namespace {

using Optimizers = std::set<std::shared_ptr<plugin::Optimizer>>;

void warm_up(const Optimizers& optimizers, int32_t device) {
  for (const std::shared_ptr<plugin::Optimizer>& optimizer : optimizers)
    try_to([&] { optimizer->warm_up(OCTAVO_MEMORY_DEVICE, device); });
}

}  // namespace

WarmUp::WarmUp(const plan::Plan& plan, const ChosenDevice& device) {
  if (device.works_on_host()) return;
  Optimizers optimizers;
  for (const auto& layer : plan.layers) {
    if ((layer->wants & (OCTAVO_WANTS_INPUTS | OCTAVO_WANTS_WHOLE_LAYER)) != 0)
      optimizers.insert(layer->optimizer);
  }
  if (optimizers.empty()) return;
  done_ = std::async(std::launch::async | std::launch::deferred,
                     [used = std::move(optimizers), devices = device.devices] {
                       for (const int32_t index : devices) warm_up(used, index);
                     });
}

}  // namespace octavo::run
