#include "output_rounding.hpp"

#include "feedback/band.hpp"
#include "feedback/greedy.hpp"
#include "feedback/ldlq.hpp"
#include "feedback/triangle.hpp"
#include "output_descent.hpp"

#include <octavo/lane.hpp>

#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <utility>

namespace octavo::descent {
namespace {

octavo_tensor code_view(const at::Tensor& codes) {
  return tensor_view(codes.data_ptr(), OCTAVO_I8, {codes.size(0), codes.size(1)});
}

void start_from_feedback(const Work& work, const octavo_tile& tile, GridTile& layer,
                         const InputHessian& hessian, const Settings& settings) {
  octavo_lane& lane = work.lane();
  const feedback::BandMemory memory(lane, tile, hessian.factor.order);
  const feedback::FactorOnLane factor(lane, hessian.factor);
  feedback::round_with_feedback(lane, memory.band(), factor.triangle(), settings.inputs.block);
  memory.store_codes(tile);
  layer.take_codes(tile.codes);
}

// On host lanes only: a pass is sequential along a row.
void pass_greedily(const Work& work, const octavo_tile& tile, GridTile& layer, const InputHessian& hessian,
                   std::int64_t passes) {
  if (passes == 0 || on_device(work.lane())) return;
  const at::Tensor residual = layer.residual(), scales = layer.scales();
  const feedback::Band band{*tile.grid, {}, view_of(scales), code_view(layer.codes()), view_of(residual)};
  feedback::greedy_passes(work.lane(), band, view_of(hessian.matrix), passes);
}

// For each row the codes of whichever state has the lowest error; of equals the first.
class BestRows {
 public:
  BestRows(const GridTile& layer, std::vector<double> errors)
      : codes_(layer.codes().clone()), errors_(std::move(errors)) {}

  void offer(const GridTile& layer, const std::vector<double>& errors) {
    std::vector<std::int64_t> better;
    for (std::size_t r = 0; r < errors.size(); ++r) {
      if (!(errors[r] < errors_[r])) continue;
      errors_[r] = errors[r];
      better.push_back(static_cast<std::int64_t>(r));
    }
    const at::Tensor rows = at::tensor(better, at::kLong).to(codes_.device());
    codes_.index_copy_(0, rows, layer.codes().index_select(0, rows));
  }

  const at::Tensor& codes() const { return codes_; }
  const std::vector<double>& errors() const { return errors_; }

 private:
  at::Tensor codes_;
  std::vector<double> errors_;
};

}  // namespace

InputHessian::InputHessian(const Work& work, feedback::Factor from) : factor(std::move(from)) {
  const at::Tensor lower = as_tensor(factor.lower.view).to(work.device());
  const at::Tensor pivots = at::tensor(factor.pivots).to(work.device());
  matrix = at::mm(lower.mul(pivots.unsqueeze(0)), lower.t());
  if (factor.order.empty()) return;
  matrix = in_layer_order(in_layer_order(matrix, factor.order).t(), factor.order).contiguous();
}

at::Tensor in_layer_order(const at::Tensor& columns, const std::vector<std::int64_t>& order) {
  if (order.empty()) return columns;
  return at::empty_like(columns).index_copy_(1, at::tensor(order, at::kLong).to(columns.device()), columns);
}

RowErrors round_for_inputs(const Work& work, const octavo_tile& tile, GridTile& layer,
                           const InputHessian& hessian, const Settings& settings, const MakeRule& make_rule) {
  RowErrors errors;
  errors.nearest = output_errors(work, layer, hessian.matrix);
  BestRows best(layer, errors.nearest);
  if (settings.start_with_feedback) {
    start_from_feedback(work, tile, layer, hessian, settings);
    best.offer(layer, output_errors(work, layer, hessian.matrix));
    layer.codes().copy_(best.codes());
  }
  descend_output(work, layer, hessian.matrix, settings.output(), make_rule);
  pass_greedily(work, tile, layer, hessian, settings.passes);
  best.offer(layer, output_errors(work, layer, hessian.matrix));
  layer.codes().copy_(best.codes());
  errors.learned = best.errors();
  const double unit = layer.unit() * layer.unit();
  for (auto* sums : {&errors.nearest, &errors.learned}) {
    for (double& sum : *sums) sum *= unit;
  }
  return errors;
}

}  // namespace octavo::descent
