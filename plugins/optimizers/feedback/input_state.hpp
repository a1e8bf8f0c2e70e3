// What layers that share inputs share: two factors, one made without the held-out samples to be judged on
// them, and one made of all samples, which is what the layer is stored with.
#pragma once

#include "feedback/factor.hpp"
#include "feedback/lease.hpp"
#include "feedback/settings.hpp"

#include <octavo/abi/grid.h>
#include <octavo/optimizer.hpp>

#include <string>

namespace octavo::feedback {

struct InputState final : OptimizerState {
  Lease lease;          // of what follows
  std::string refusal;  // why there are no factors; else empty
  Factor judged;        // without the held-out samples
  Factor factor;        // of all samples
  HeldMatrix held_out;  // f32 [n, cols], in the grid's basis and the judged factor's order of columns
  std::string note;     // what was asked for and is not done here
};

// Never throws for what the inputs are: that is in `refusal`.
std::unique_ptr<InputState> prepare_input_state(octavo_lane& lane, const octavo_inputs& inputs,
                                                const octavo_grid& grid, const Settings& settings);

}  // namespace octavo::feedback
