// The optimizer that adaptive, adamw and radam are: all of it but the rule.
#pragma once

#include "parameters.hpp"
#include "rule.hpp"

#include <octavo/optimizer.hpp>

#include <memory>

namespace octavo::descent {

class LearnedRounding : public Optimizer {
 public:
  LearnedRounding(const Host& host, const Params& params) : host_(host), settings_(params) {}

  std::uint32_t wants(const octavo_layer& layer, const octavo_grid& grid, bool has_inputs) const override;
  Preparation prepare(const PrepareRequest& request) const override;
  void quantize(const OptimizerState* state, octavo_lane& lane, const octavo_tile& tile,
                octavo_tile_result& result) const override;

 protected:
  // A new one, which has seen no gradient.
  virtual std::unique_ptr<Rule> make_rule() const = 0;

 private:
  bool minimises_output(bool has_inputs) const;
  void learn_projected(const Work& work, const octavo_tile& tile, octavo_tile_result& result) const;

  Host host_;
  Settings settings_;
};

}  // namespace octavo::descent
