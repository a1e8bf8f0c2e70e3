// With inputs, what a layer's error does is known: e H e^T for each row e of the error, the sum of squares of
// what the row's outputs are off by. Rows are independent, and so is everything here.
//
// An iteration moves the weights against the gradient at the last proposal and proposes the codes that they
// round to now; a row takes the proposal if its J is lower than that of the codes it has. Proposals go on
// from the moved weights, not from the codes that were taken, so that a row can pass through worse ones.
// Every row has a learning rate of its own, which follows its own success.
#include "output_descent.hpp"

#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

namespace octavo::descent {
namespace {

constexpr double kOffsetLimit = 1.5;   // a weight is moved by at most so many steps
constexpr double kInsideCell = 0.499;  // moved so far into a code's cell, a weight rounds to it

// [rows], f64.
at::Tensor row_sums(const at::Tensor& errors, const at::Tensor& gradient) {
  return errors.mul(gradient).sum(1, /*keepdim=*/false, at::kDouble);
}

std::vector<double> on_host(const at::Tensor& values) {
  const at::Tensor copy = values.to(at::kCPU).contiguous();
  const auto* const data = copy.data_ptr<double>();
  return {data, data + copy.numel()};
}

class RowDescent {
 public:
  RowDescent(const GridTile& tile, Band band, const at::Tensor& hessian, const OutputSettings& settings,
             std::unique_ptr<Rule> rule)
      : tile_(tile), band_(std::move(band)), hessian_(hessian), settings_(settings), rule_(std::move(rule)) {
    const at::Tensor distance = band_.codes.sub(band_.weights);
    offset_ = distance.sub(distance.clamp(-kInsideCell, kInsideCell));  // the least that rounds to the codes
    const at::Tensor errors = band_.errors();
    gradient_ = at::mm(errors, hessian_);
    lowest_ = row_sums(errors, gradient_);
    start_ = on_host(lowest_);
    rates_.assign(start_.size(), LearningRate(settings_.rate, tile.rows(), tile.cols()));
  }

  void run(const Work& work) {
    for (std::int64_t i = 1; i <= settings_.iterations && set_rates(); ++i) {
      work.stop_if_cancelled();
      iterate(i);
    }
  }

 private:
  // The rows' rates as a column; 0 for rows that have stopped. False once all have.
  bool set_rates() {
    std::vector<float> values(rates_.size());
    bool any = false;
    for (std::size_t r = 0; r < rates_.size(); ++r) {
      const bool goes_on = rates_[r].stop() == Stop::none && start_[r] > 0;
      values[r] = goes_on ? static_cast<float>(rates_[r].rate()) : 0.0f;
      any = any || goes_on;
    }
    rate_ = at::tensor(values).to(offset_.device()).unsqueeze(1);
    return any;
  }

  // With respect to the codes, each row to a root mean square of 1.
  at::Tensor direction() const {
    const at::Tensor gradient = gradient_.mul(band_.steps);
    const double root = std::sqrt(static_cast<double>(gradient.size(1)));
    const at::Tensor size = at::linalg_vector_norm(gradient, 2, 1, /*keepdim=*/true).div_(root);
    return gradient.div(size.clamp_min_(1e-30));
  }

  void iterate(std::int64_t iteration) {
    offset_.sub_(rule_->direction(direction(), offset_, iteration).mul(rate_))
        .clamp_(-kOffsetLimit, kOffsetLimit);
    Band proposal = band_;
    proposal.codes =
        band_.weights.add(offset_).round_().clamp_(tile_.least_code(), tile_.largest_code()).to(at::kChar);
    const at::Tensor errors = proposal.errors();
    gradient_ = at::mm(errors, hessian_);
    const at::Tensor reached = row_sums(errors, gradient_);
    const at::Tensor lower = reached.lt(lowest_);
    band_.codes.copy_(at::where(lower.unsqueeze(1), proposal.codes, band_.codes));
    lowest_ = at::where(lower, reached, lowest_);
    const std::vector<double> losses = on_host(reached);
    for (std::size_t r = 0; r < rates_.size(); ++r) {
      if (start_[r] > 0) rates_[r].observe(losses[r] / start_[r]);
    }
  }

  const GridTile& tile_;
  Band band_;
  const at::Tensor& hessian_;
  const OutputSettings& settings_;
  std::unique_ptr<Rule> rule_;
  std::vector<LearningRate> rates_;
  std::vector<double> start_;  // J of each row before the first proposal
  at::Tensor offset_;          // f32 [rows, cols]: how far each weight has been moved, in steps
  at::Tensor gradient_;        // f32 [rows, cols]: e H at the last proposal
  at::Tensor lowest_;          // f64 [rows]: J of the codes
  at::Tensor rate_;            // f32 [rows, 1]
};

}  // namespace

// In panels of the Hessian's columns, because all of it in f64 could be gigabytes.
std::vector<double> output_errors(const Work& work, const GridTile& tile, const at::Tensor& hessian) {
  constexpr std::int64_t kPanel = 512;
  std::vector<double> sums(static_cast<std::size_t>(tile.rows()));
  const std::vector<Band> bands = tile.bands();
  work.for_each(static_cast<std::int64_t>(bands.size()), [&](std::int64_t i) {
    const Band& band = bands[static_cast<std::size_t>(i)];
    const at::Tensor errors = band.errors().to(at::kDouble);
    at::Tensor total = at::zeros({band.rows()}, errors.options());
    for (std::int64_t begin = 0; begin < tile.cols(); begin += kPanel) {
      const std::int64_t count = std::min(kPanel, tile.cols() - begin);
      const at::Tensor gradient = at::mm(errors, hessian.narrow(1, begin, count).to(at::kDouble));
      total.add_(row_sums(errors.narrow(1, begin, count), gradient));
    }
    const std::vector<double> rows = on_host(total);
    std::copy(rows.begin(), rows.end(), sums.begin() + band.begin);
  });
  return sums;
}

void descend_output(const Work& work, GridTile& tile, const at::Tensor& hessian,
                    const OutputSettings& settings, const MakeRule& make_rule) {
  const std::vector<Band> bands = tile.bands();
  work.for_each(static_cast<std::int64_t>(bands.size()), [&](std::int64_t i) {
    RowDescent(tile, bands[static_cast<std::size_t>(i)], hessian, settings, make_rule()).run(work);
  });
}

}  // namespace octavo::descent
