// The optimizer behind gptq and quip: rounding with feedback from real inputs on any grid of signed codes
// with one level of scales, gated by inputs that were held out. They differ in their defaults and in what
// they are told.
#pragma once

#include "feedback/settings.hpp"

#include <octavo/optimizer.hpp>

namespace octavo::feedback {

class FeedbackOptimizer : public Optimizer {
 public:
  std::uint32_t wants(const octavo_layer& layer, const octavo_grid& grid, bool has_inputs) const override;
  std::unique_ptr<OptimizerState> prepare_inputs(octavo_lane& lane, const octavo_inputs& inputs,
                                                 const octavo_grid& grid) const override;
  Preparation prepare(const PrepareRequest& request) const override;
  void warm_up(std::uint32_t memory, std::int32_t device) const override;
  void quantize(const OptimizerState* state, octavo_lane& lane, const octavo_tile& tile,
                octavo_tile_result& result) const override;

 protected:
  explicit FeedbackOptimizer(const Settings& settings) : settings_(settings) {}

 private:
  Settings settings_;
};

}  // namespace octavo::feedback
