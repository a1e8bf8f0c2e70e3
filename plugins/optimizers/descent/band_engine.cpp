#include "band_engine.hpp"

#include <ATen/ops/addcmul.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/masked_select.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace octavo::descent {
namespace {

constexpr double kOffsetLimit = 1.5;   // a weight is moved by at most so many steps
constexpr double kLeastScale = 1e-12;  // of the largest; smaller ones have no weight in f

// Steps of codes of one band, a list.
struct Steps {
  at::Tensor element;  // i64: row x cols + col
  at::Tensor move;     // f32: what it adds to the stored value
  at::Tensor slope;    // f32: half the derivative of f
  at::Tensor error;    // f32: before the step

  std::int64_t count() const { return element.numel(); }
  Steps kept(const at::Tensor& mask) const {
    return {element.masked_select(mask), move.masked_select(mask), slope.masked_select(mask),
            error.masked_select(mask)};
  }
};

// target [rows, q] = D right for the sparse D of the steps. A GPU's product is faster than gathering rows.
void project_on_device(const Steps& steps, const at::Tensor& right, at::Tensor target) {
  const std::int64_t rows = target.size(0), cols = right.size(0);
  at::Tensor moves = at::zeros({rows * cols}, right.options());
  moves.index_add_(0, steps.element, steps.move);
  at::mm_out(target, moves.view({rows, cols}), right);
}

void project_on_cpu(const Steps& steps, const at::Tensor& right, const at::Tensor& target) {
  target.zero_();
  const std::int64_t cols = right.size(0), width = right.size(1);
  const auto* const elements = steps.element.data_ptr<std::int64_t>();
  const auto* const moves = steps.move.data_ptr<float>();
  for (std::int64_t i = 0; i < steps.count(); ++i) {
    float* const sum = target.data_ptr<float>() + elements[i] / cols * width;
    const float* const vector = right.data_ptr<float>() + elements[i] % cols * width;
    for (std::int64_t j = 0; j < width; ++j) sum[j] += moves[i] * vector[j];
  }
}

double sum_of(const at::Tensor& values) { return values.sum(at::kDouble).item<double>(); }

// Of a band's part of a batch; |P|^2 is not one band's matter.
Change change_of(const Steps& steps) {
  Change change;
  change.linear = 2 * sum_of(steps.move.mul(steps.slope));
  change.error = sum_of(steps.error.mul(2).add_(steps.move).mul_(steps.move));
  change.steps = steps.count();
  return change;
}

struct BandState {
  Band band;
  std::unique_ptr<Rule> rule;
  at::Tensor offset;        // f32 [rows, cols]: how far the rule has moved each weight, in steps
  at::Tensor left;          // f32 [rows, q]
  at::Tensor left_squares;  // f32 [rows, 1]: |u_r|^2
  Steps steps;              // of the batch that is being tried
};

class BandEngine final : public StepEngine {
 public:
  BandEngine(const Work& work, GridTile& tile, const Subspace& subspace, const ProjectedSettings& settings,
             const MakeRule& make_rule)
      : work_(work),
        tile_(tile),
        settings_(settings),
        left_(subspace.left),
        right_(subspace.right),
        right_transposed_(subspace.right.t()),
        right_squares_(subspace.right.square().sum(1).unsqueeze(0)),
        projections_(at::empty({tile.rows(), right_.size(1)}, right_.options())) {
    for (Band& band : tile.bands()) {
      BandState state;
      state.left = left_.narrow(0, band.begin, band.rows());
      state.left_squares = state.left.square().sum(1, /*keepdim=*/true);
      state.offset = at::zeros({band.rows(), tile.cols()}, right_.options());
      state.rule = make_rule();
      state.band = std::move(band);
      bands_.push_back(std::move(state));
    }
  }

  SquaredNorms measure() override;
  Change propose(std::int64_t iteration, double rate, double share, double projected) override;
  Change thin(std::int64_t iteration, double share) override;
  void accept() override;

 private:
  std::int64_t band_count() const { return static_cast<std::int64_t>(bands_.size()); }
  BandState& band(std::int64_t i) { return bands_[static_cast<std::size_t>(i)]; }

  at::Tensor direction_of(const BandState& state, const at::Tensor& gradient) const;
  Steps proposed_steps(const BandState& state, const at::Tensor& gradient) const;
  void project(const BandState& state);
  at::Tensor summed_projection() const;
  Change summed(const std::vector<Change>& parts);

  const Work& work_;
  GridTile& tile_;
  const ProjectedSettings& settings_;
  at::Tensor left_, right_, right_transposed_;
  at::Tensor right_squares_;  // [1, cols]: |v_c|^2
  at::Tensor projections_;    // [rows, q]: D V of the batch that is being tried (E V while measuring)
  std::vector<BandState> bands_;

  at::Tensor projection_;  // P, f64 [q, q]
  at::Tensor trial_;       // P after the batch that is being tried
};

// U^T times what is in projections_, in f64.
at::Tensor BandEngine::summed_projection() const {
  const std::int64_t width = projections_.size(1), panel = work_.device().is_cpu() ? 64 : width;
  at::Tensor sum = at::empty({width, width}, right_.options());
  work_.for_each((width + panel - 1) / panel, [&](std::int64_t i) {
    const std::int64_t begin = i * panel, count = std::min(panel, width - begin);
    at::Tensor target = sum.narrow(0, begin, count);
    at::mm_out(target, left_.narrow(1, begin, count).t(), projections_);
  });
  return sum.to(at::kDouble);
}

// P and the two sums from the codes alone.
SquaredNorms BandEngine::measure() {
  std::vector<double> sums(bands_.size());
  work_.for_each(band_count(), [&](std::int64_t i) {
    const at::Tensor errors = band(i).band.errors();
    at::Tensor target = projections_.narrow(0, band(i).band.begin, errors.size(0));
    at::mm_out(target, errors, right_);
    sums[static_cast<std::size_t>(i)] = sum_of(errors.square());
  });
  double error = 0;
  for (const double sum : sums) error += sum;
  projection_ = summed_projection();
  return {sum_of(projection_.square()), error};
}

// The gradient with respect to codes that are free to move, as the rule takes it: G / s, because a step of a
// smaller scale costs less, each row to a root mean square of 1.
at::Tensor BandEngine::direction_of(const BandState& state, const at::Tensor& gradient) const {
  const at::Tensor& scales = state.band.scales;
  at::Tensor direction = gradient;
  if (scales.size(1) != 1) {
    const at::Tensor divisor = scales.clamp_min(kLeastScale);
    direction = gradient.mul(std::get<0>(divisor.min(1, /*keepdim=*/true)).div(divisor));
  }
  const double root = std::sqrt(static_cast<double>(gradient.size(1)));
  const at::Tensor size = at::linalg_vector_norm(direction, 2, 1, /*keepdim=*/true).div_(root);
  return direction.div(size.clamp_min_(1e-30));
}

// Steps towards the codes that the moved weights round to, those that lower f by themselves.
Steps BandEngine::proposed_steps(const BandState& state, const at::Tensor& gradient) const {
  const Band& band = state.band;
  const at::Tensor error = band.errors();
  at::Tensor move = band.weights.add(state.offset).round_();
  move.clamp_(tile_.least_code(), tile_.largest_code()).sub_(band.codes).clamp_(-1, 1).mul_(band.steps);
  const at::Tensor slope = gradient.add(error, settings_.error_weight);
  const at::Tensor squares = band.steps.square();
  const at::Tensor change =
      at::addcmul(squares.mul(settings_.error_weight), squares.mul(state.left_squares), right_squares_)
          .addcmul_(move, slope, 2);
  const at::Tensor element = change.lt_(0).view(-1).nonzero().squeeze(1);
  const auto taken = [&](const at::Tensor& values) { return values.reshape(-1).index_select(0, element); };
  return {element, taken(move), taken(slope), taken(error)};
}

// Whether each step is in a share of them: a Weyl sequence over elements, which leaves no pattern in rows or
// columns, begun anew in each iteration.
at::Tensor in_share(const Steps& steps, std::int64_t iteration, double share) {
  constexpr double kElement = 0.7548776662466927, kIteration = 0.5698402909980532;
  return steps.element.to(at::kDouble)
      .mul_(kElement)
      .add_(static_cast<double>(iteration) * kIteration)
      .frac_()
      .lt(share);
}

void BandEngine::project(const BandState& state) {
  at::Tensor target = projections_.narrow(0, state.band.begin, state.band.rows());
  if (work_.device().is_cpu()) {
    project_on_cpu(state.steps, right_, target);
  } else {
    project_on_device(state.steps, right_, target);
  }
}

// The sums over all bands, in order, and |P|^2 from the batch's own P.
Change BandEngine::summed(const std::vector<Change>& parts) {
  Change change;
  for (const Change& part : parts) {
    change.linear += part.linear;
    change.error += part.error;
    change.steps += part.steps;
  }
  trial_ = summed_projection().add_(projection_);
  change.projected = sum_of(trial_.square());
  return change;
}

Change BandEngine::propose(std::int64_t iteration, double rate, double share, double) {
  const at::Tensor middle = projection_.to(at::kFloat);
  std::vector<Change> changes(bands_.size());
  work_.for_each(band_count(), [&](std::int64_t i) {
    BandState& state = band(i);
    const at::Tensor gradient = at::mm(at::mm(state.left, middle), right_transposed_);
    const at::Tensor direction =
        state.rule->direction(direction_of(state, gradient), state.offset, iteration);
    state.offset.sub_(direction, rate).clamp_(-kOffsetLimit, kOffsetLimit);
    state.steps = proposed_steps(state, gradient);
    if (share < 1) state.steps = state.steps.kept(in_share(state.steps, iteration, share));
    changes[static_cast<std::size_t>(i)] = change_of(state.steps);
    project(state);
  });
  return summed(changes);
}

Change BandEngine::thin(std::int64_t iteration, double share) {
  std::vector<Change> changes(bands_.size());
  work_.for_each(band_count(), [&](std::int64_t i) {
    BandState& state = band(i);
    state.steps = state.steps.kept(in_share(state.steps, iteration, share));
    changes[static_cast<std::size_t>(i)] = change_of(state.steps);
    project(state);
  });
  return summed(changes);
}

void BandEngine::accept() {
  work_.for_each(band_count(), [&](std::int64_t i) {
    BandState& state = band(i);
    at::Tensor codes = state.band.codes.view(-1);
    codes.index_add_(0, state.steps.element, state.steps.move.sign().to(at::kChar));
  });
  projection_ = trial_;
}

}  // namespace

std::unique_ptr<StepEngine> make_band_engine(const Work& work, GridTile& tile, const Subspace& subspace,
                                             const ProjectedSettings& settings, const MakeRule& make_rule) {
  return std::make_unique<BandEngine>(work, tile, subspace, settings, make_rule);
}

}  // namespace octavo::descent
