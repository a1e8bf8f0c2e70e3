// convert_to_quant's objective is the norm of P = U^T E V, E = stored - weight, U and V the leading singular
// vectors of the weight. Over floats its optimum is a shift of some hundredths of a step, which rounding
// undoes; here it is minimised over the codes themselves, with a share of |E|^2 so that the error as a whole
// cannot run away:
//
//   f = |P|^2 + lambda |E|^2
//
// Let G = U P V^T, u and v the rows of U and V. A step t = +-1 of the code at [r, c], which moves the stored
// value by t s, changes f by
//
//   2 t s (G[r,c] + lambda E[r,c]) + s^2 (|u_r|^2 |v_c|^2 + lambda) (exactly)
//
// An iteration lets the optimizer's rule move every weight by a fraction of a step against the gradient, and
// proposes the codes that these weights round to. Of the steps proposed those that lower f by themselves make
// a batch. Steps of one batch add up in P: for a share a of a batch, f changes by about a (linear part) + a^2
// (quadratic part), both known once the batch's own P is, so a batch that overshoots is thinned to the share
// that is best by this parabola. A batch is accepted only if f, computed from its exact P, is lower than
// before. So f falls from nearest's on, and the last state is the best.
#include "projected_descent.hpp"

#include "band_engine.hpp"
#include "gpu_engine.hpp"
#include "step_engine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

namespace octavo::descent {
namespace {

constexpr int kThinnings = 4;         // of one batch
constexpr double kLeastShare = 0.02;  // of what is left, in one thinning
constexpr double kMostThinning = 0.7;
constexpr double kMostGrowth = 2;  // of the share from one iteration to the next
constexpr double kNoise = 1e-9;    // a decrease below this share of f may be rounding

class Descent {
 public:
  Descent(const Work& work, GridTile& tile, std::unique_ptr<StepEngine> engine,
          const ProjectedSettings& settings)
      : work_(work), tile_(tile), engine_(std::move(engine)), settings_(settings), now_(engine_->measure()) {}

  ProjectedOutcome run();

 private:
  double objective(const SquaredNorms& norms) const {
    return norms.projected + settings_.error_weight * norms.error;
  }
  static ProjectedNorms norms_of(const SquaredNorms& squared) {
    return {std::sqrt(squared.projected), std::sqrt(squared.error)};
  }
  void iterate(std::int64_t iteration, double rate);
  bool lowers_objective(const Change& change, double& best_share) const;

  const Work& work_;
  GridTile& tile_;
  std::unique_ptr<StepEngine> engine_;
  const ProjectedSettings& settings_;
  SquaredNorms now_;
  double share_ = 1;           // of the steps proposed, to begin the next iteration with
  std::int64_t accepted_ = 0;  // steps
};

// The exact check. `best_share`: of these steps, by the parabola through f's value, slope and new value.
bool Descent::lowers_objective(const Change& change, double& best_share) const {
  const double difference = change.projected - now_.projected + settings_.error_weight * change.error;
  const double quadratic = difference - change.linear;
  best_share = quadratic > 0 ? -change.linear / (2 * quadratic) : kMostGrowth;
  return difference < -kNoise * objective(now_);
}

void Descent::iterate(std::int64_t iteration, double rate) {
  double share = share_;
  Change change = engine_->propose(iteration, rate, share, now_.projected);
  for (int attempt = 0; change.steps > 0; ++attempt) {
    double best_share = 1;
    if (lowers_objective(change, best_share)) {
      engine_->accept();
      now_ = {change.projected, now_.error + change.error};
      accepted_ += change.steps;
      // The best share lies around this one if the parabola says so, and it may lie beyond. A batch that was
      // accepted is no reason to try fewer.
      share_ = std::min(1.0, share * std::clamp(2 * best_share, 1.0, kMostGrowth));
      return;
    }
    if (attempt == kThinnings) break;
    share *= std::clamp(best_share, kLeastShare, kMostThinning);
    change = engine_->thin(iteration, share);
  }
  share_ = share;
}

ProjectedOutcome Descent::run() {
  ProjectedOutcome outcome{norms_of(now_), norms_of(now_), 0, 0, Stop::none};
  const double start = objective(now_);
  if (!(start > 0)) return outcome;
  LearningRate rate(settings_.rate, tile_.rows(), tile_.cols());
  for (std::int64_t i = 1; i <= settings_.iterations && outcome.stop == Stop::none; ++i) {
    work_.stop_if_cancelled();
    const double used = rate.rate();
    const std::int64_t before = accepted_;
    iterate(i, used);
    rate.observe(objective(now_) / start);
    outcome.stop = rate.stop();
    outcome.iterations = i;
    work_.debug(fmt::format("iteration {}: objective {:.9g}, accepted steps {}, learning rate {:.6g}", i,
                            objective(now_) / start, accepted_ - before, used));
  }
  const SquaredNorms reached = engine_->measure();
  if (objective(reached) < start) {
    outcome.steps = accepted_;
    outcome.learned = norms_of(reached);
  } else {
    tile_.reset_codes();
  }
  return outcome;
}

}  // namespace

ProjectedOutcome descend_projected(const Work& work, GridTile& tile, const Subspace& subspace,
                                   const ProjectedSettings& settings, const MakeRule& make_rule) {
  const std::unique_ptr<Rule> rule = make_rule();
  std::unique_ptr<StepEngine> engine = make_gpu_engine(work, tile, subspace, settings, *rule);
  if (engine == nullptr) engine = make_band_engine(work, tile, subspace, settings, make_rule);
  return Descent(work, tile, std::move(engine), settings).run();
}

}  // namespace octavo::descent
