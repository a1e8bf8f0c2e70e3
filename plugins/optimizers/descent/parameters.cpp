#include "parameters.hpp"

#include <string_view>

namespace octavo::descent {
namespace {

constexpr std::int64_t kProjectedIterations = 50;
constexpr std::int64_t kOutputIterations = 200;

Objective objective_of(std::string_view text) {
  if (text == "projected") return Objective::projected;
  return text == "output" ? Objective::output : Objective::automatic;
}

Schedule schedule_of(std::string_view text) {
  if (text == "exponential") return Schedule::exponential;
  return text == "plateau" ? Schedule::plateau : Schedule::adaptive;
}

LearningRateSettings rate_settings(const Params& params) {
  LearningRateSettings rate;
  rate.schedule = schedule_of(params.choice("lr_schedule"));
  rate.start = params.number("lr");
  rate.least = params.number("lr_min");
  rate.gamma = params.number("lr_gamma");
  rate.patience = params.integer("lr_patience");
  rate.factor = params.number("lr_factor");
  rate.cooldown = params.integer("lr_cooldown");
  rate.shape_influence = params.number("lr_shape_influence");
  rate.threshold = params.number("lr_threshold");
  rate.threshold_mode =
      params.choice("lr_threshold_mode") == "abs" ? ThresholdMode::absolute : ThresholdMode::relative;
  rate.adaptive_mode =
      params.choice("lr_adaptive_mode") == "no-reset" ? AdaptiveMode::no_reset : AdaptiveMode::simple_reset;
  rate.stop_loss = params.number("early_stop_loss");
  rate.stop_rate = params.number("early_stop_lr");
  rate.stop_stall = params.integer("early_stop_stall");
  return rate;
}

SubspaceSettings subspace_settings(const Params& params) {
  SubspaceSettings subspace;
  subspace.top_p = params.number("top_p");
  subspace.min_k = params.integer("min_k");
  subspace.max_k = params.integer("max_k");
  subspace.full_matrix = params.flag("full_matrix");
  subspace.exact_up_to = params.integer("exact_up_to");
  subspace.filter_degree = params.integer("filter_degree");
  return subspace;
}

}  // namespace

Settings::Settings(const Params& params)
    : objective(objective_of(params.choice("objective"))),
      iterations(params.integer("num_iter")),
      error_weight(params.number("error_weight")),
      rate(rate_settings(params)),
      subspace(subspace_settings(params)),
      start_with_feedback(params.choice("start") == "quip"),
      passes(params.integer("passes")) {
  feedback::set_damping(inputs, params.text("damping"));
  inputs.whole_factors = true;                                               // the Hessian is made of one
  if (start_with_feedback) inputs.order = feedback::ColumnOrder::automatic;  // as quip does it
}

ProjectedSettings Settings::projected() const {
  return {error_weight, iterations > 0 ? iterations : kProjectedIterations, rate};
}

OutputSettings Settings::output() const { return {iterations > 0 ? iterations : kOutputIterations, rate}; }

MomentSettings moment_settings(const Params& params) {
  return {params.number("beta1"), params.number("beta2"), params.number("epsilon"),
          params.number("weight_decay")};
}

}  // namespace octavo::descent
