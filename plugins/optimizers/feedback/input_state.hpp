// What layers that share inputs share: two factors, one made without the held-out samples to be judged on
// them, and one made of all samples, which is what the layer is stored with.
#pragma once

#include "feedback/factor.hpp"
#include "feedback/settings.hpp"

#include <octavo/abi/grid.h>
#include <octavo/optimizer.hpp>
#include <octavo/plugin.hpp>

#include <cstdint>
#include <mutex>
#include <string>
#include <utility>

namespace octavo::feedback {

class InputState final : public OptimizerState {
 public:
  std::string refusal;  // why there are no factors; else empty
  std::string note;     // what was asked for and is not done here
  Factor factor;        // of all samples
  // Until every layer has been judged:
  mutable Factor judged;        // without the held-out samples
  mutable HeldMatrix held_out;  // f32 [n, cols], in the grid's basis and the judged factor's order of columns

  // `layers` are to be judged; 0: nobody knows how many. `lease`: of the memory of all that is here.
  InputState(std::uint32_t layers, Lease lease) : layers_(layers), lease_(std::move(lease)) {}
  // What is here takes so many bytes, and once every layer has been judged so many.
  void shrink_lease(std::uint64_t bytes, std::uint64_t bytes_afterwards);
  void one_was_judged() const;

 private:
  mutable std::mutex mutex_;
  mutable std::uint32_t layers_;
  mutable Lease lease_;
  std::uint64_t bytes_afterwards_ = 0;
};

// Never throws for what the inputs are: that is in `refusal`.
std::unique_ptr<InputState> prepare_input_state(octavo_lane& lane, const octavo_inputs& inputs,
                                                const octavo_grid& grid, const Settings& settings);

}  // namespace octavo::feedback
