#include "feedback/gate.hpp"

#include "feedback/band.hpp"
#include "feedback/lane_steps.hpp"
#include "feedback/sampled_tile.hpp"
#include "feedback/triangle.hpp"

namespace octavo::feedback {
namespace {

double held_out_error(octavo_lane& lane, const octavo_tensor& held_out, const octavo_tensor& residual) {
  LaneMatrix output(lane, OCTAVO_F32, held_out.shape[0], residual.shape[0]);
  multiply_transposed(lane, held_out, residual, output.view());
  octavo_error_sums sums{};
  sums.struct_size = sizeof sums;
  const octavo_tensor& values = output.view();
  issue(lane, &octavo_operations::error_sums, &values, &values, &sums);
  wait_for(lane);
  return sums.signal_sum;
}

}  // namespace

GateResult judge(const PrepareRequest& request, const Factor& factor, const HeldMatrix& held_out,
                 std::int64_t block) {
  octavo_lane& lane = request.lane;
  const SampledTile sample(request);
  BandMemory memory(lane, sample.tile(), factor.order);
  const FactorOnLane on_lane(lane, factor);
  const OnLane tokens(lane, held_out);
  GateResult judged;
  round_to_nearest(lane, memory.band());
  judged.nearest = held_out_error(lane, tokens.view(), memory.band().residual);
  memory.begin_again(lane);
  round_with_feedback(lane, memory.band(), on_lane.triangle(), block);
  judged.feedback = held_out_error(lane, tokens.view(), memory.band().residual);
  return judged;
}

}  // namespace octavo::feedback
