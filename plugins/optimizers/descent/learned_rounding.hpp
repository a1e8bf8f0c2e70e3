// The optimizer that adaptive, adamw and radam are: all of it but the rule.
#pragma once

#include "parameters.hpp"
#include "rule.hpp"

#include <octavo/optimizer.hpp>

#include <memory>

namespace octavo::descent {

class Work;
struct OutputInputs;
struct ProjectedInputs;

class LearnedRounding : public Optimizer {
 public:
  LearnedRounding(const Host& host, const Params& params) : host_(host), settings_(params) {}

  std::uint32_t wants(const octavo_layer& layer, const octavo_grid& grid, bool has_inputs) const override;
  std::unique_ptr<OptimizerState> prepare_inputs(octavo_lane& lane, const octavo_inputs& inputs,
                                                 const octavo_grid& grid) const override;
  Preparation prepare(const PrepareRequest& request) const override;
  void warm_up(std::uint32_t memory, std::int32_t device) const override;
  void quantize(const OptimizerState* state, octavo_lane& lane, const octavo_tile& tile,
                octavo_tile_result& result) const override;

 protected:
  // A new one, which has seen no gradient.
  virtual std::unique_ptr<Rule> make_rule() const = 0;

 private:
  bool minimises_output(bool has_inputs) const;
  std::unique_ptr<OptimizerState> make_inputs(octavo_lane& lane, const octavo_inputs& inputs,
                                              const octavo_grid& grid) const;
  Preparation judge(const PrepareRequest& request, const OutputInputs& inputs) const;
  void learn_projected(const ProjectedInputs* inputs, const Work& work, const octavo_tile& tile,
                       octavo_tile_result& result) const;
  void learn_output(const OutputInputs& inputs, const Work& work, const octavo_tile& tile,
                    octavo_tile_result& result) const;

  Host host_;
  Settings settings_;
};

}  // namespace octavo::descent
