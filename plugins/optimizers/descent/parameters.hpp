// The parameters that the learned optimizers share: those of convert_to_quant under the same names, and
// octavo's own.
#pragma once

#include "feedback/settings.hpp"
#include "learning_rate.hpp"
#include "moments.hpp"
#include "output_descent.hpp"
#include "projected_descent.hpp"
#include "subspace.hpp"

#include <octavo/plugin.hpp>

#include <algorithm>
#include <array>
#include <cstdint>

namespace octavo::descent {

enum class Objective { automatic, projected, output };

struct Settings {
  explicit Settings(const Params& params);

  Objective objective;
  std::int64_t iterations;  // 0: the objective's own number
  double error_weight;
  LearningRateSettings rate;
  SubspaceSettings subspace;

  feedback::Settings inputs;  // damping of what the inputs give
  bool start_with_feedback;   // codes to begin with are LDLQ's, not nearest's
  std::int64_t passes;        // greedy ones, after the proposals

  ProjectedSettings projected() const;
  OutputSettings output() const;
};

inline constexpr double kAny = 1e300;
inline constexpr double kMany = 9e15;  // integers up to here are exact in a double

inline constexpr std::array kParams = {
    choice_param(
        "objective", "auto", "auto|projected|output",
        "What is minimised: the error in the leading singular directions, or of the layer's outputs for "
        "calibration inputs; auto: output where there are inputs"),
    integer_param("num_iter", "0", 0, kMany, "Most iterations; 0: 50 for projected, 200 for output"),
    choice_param("start", "nearest", "nearest|quip",
                 "Output objective: codes to begin with; quip: those of rounding with feedback"),
    integer_param("passes", "2", 0, 100,
                  "Output objective: greedy passes over all codes after the proposals"),
    feedback::kDamping,
    number_param("error_weight", "0.3", 0, kAny,
                 "Projected objective: weight of the whole squared error beside the projected one"),
    number_param("lr", "8.077300000003e-3", 0, kAny, "Learning rate at the start, in steps of the grid"),
    choice_param("lr_schedule", "adaptive", "adaptive|exponential|plateau", "How the learning rate changes"),
    number_param("lr_gamma", "0.99", 0, 1, "exponential: factor of each iteration"),
    integer_param("lr_patience", "9", 0, kMany, "plateau: iterations without improvement before a cut"),
    number_param("lr_factor", "0.92", 0, 1, "plateau: factor of a cut"),
    number_param("lr_min", "1e-10", 0, kAny, "Lower bound of the learning rate"),
    integer_param("lr_cooldown", "6", 0, kMany,
                  "plateau: iterations after a cut in which nothing is counted"),
    number_param("lr_threshold", "0", 0, kAny, "Smallest decrease of the loss that counts as an improvement"),
    choice_param("lr_threshold_mode", "rel", "rel|abs",
                 "lr_threshold is a share of the lowest loss so far, or of nearest's loss"),
    number_param("lr_shape_influence", "1", 0, 1,
                 "plateau: how much deeper cuts are for oblong layers; 0: the same for all"),
    choice_param(
        "lr_adaptive_mode", "simple-reset", "simple-reset|no-reset",
        "adaptive: an improvement raises the rate by a quarter, or by more the longer the stall was that it "
        "ended"),
    number_param("early_stop_loss", "1e-8", 0, kAny, "Stop at this loss; nearest's is 1"),
    number_param("early_stop_lr", "1e-10", 0, kAny, "Stop at this learning rate"),
    integer_param("early_stop_stall", "1000", 0, kMany,
                  "Stop after more iterations than this without improvement"),
    number_param("top_p", "0.2", 0, 1, "Share of the singular vectors"),
    integer_param("min_k", "64", 1, kMany, "Fewest singular vectors"),
    integer_param("max_k", "1024", 1, kMany, "Most singular vectors"),
    bool_param("full_matrix", "false",
               "Exact singular vectors by a full SVD, whatever the size of the layer"),
    integer_param("exact_up_to", "512", 0, kMany,
                  "Layers with at most so many rows or columns get exact singular vectors too"),
    integer_param("filter_degree", "16", 0, 100,
                  "Larger layers: degree of the polynomial that sharpens their singular subspaces"),
};

// The moments' parameters, for the optimizers that have them.
constexpr std::array<octavo_param, 4> moment_params(const char* weight_decay) {
  return {
      number_param("beta1", "0.9", 0, 0.999999, "Decay of the running mean of the gradient"),
      number_param("beta2", "0.999", 0, 0.999999, "Decay of the running mean of its square"),
      number_param("epsilon", "1e-8", 0, 1, "Added to the root of the mean square"),
      number_param("weight_decay", weight_decay, 0, 100, "Pull of the moved weights back to where they were"),
  };
}

MomentSettings moment_settings(const Params& params);

// The shared parameters, then an optimizer's own.
template <std::size_t Count>
constexpr auto with_own(const std::array<octavo_param, Count>& own) {
  std::array<octavo_param, kParams.size() + Count> all{};
  std::copy(kParams.begin(), kParams.end(), all.begin());
  std::copy(own.begin(), own.end(), all.begin() + kParams.size());
  return all;
}

}  // namespace octavo::descent
