#include "feedback/gate.hpp"

#include "feedback/band.hpp"
#include "feedback/lane_steps.hpp"
#include "feedback/sampled_tile.hpp"

namespace octavo::feedback {
namespace {

double held_out_error(octavo_lane& lane, const octavo_tensor& held_out, const octavo_tensor& residual) {
  LaneMatrix output(lane, OCTAVO_F32, held_out.shape[0], residual.shape[0]);
  multiply_transposed(lane, held_out, residual, output.view());
  const HostCopy values(lane, output.view());
  double sum = 0.0;
  for (std::int64_t r = 0; r < values.view().shape[0]; ++r) {
    const float* row = row_of<float>(values.view(), r);
    for (std::int64_t c = 0; c < values.view().shape[1]; ++c) sum += double{row[c]} * row[c];
  }
  return sum;
}

}  // namespace

GateResult judge(const PrepareRequest& request, const Factor& factor, const octavo_tensor& held_out,
                 std::int64_t block) {
  octavo_lane& lane = request.lane;
  const SampledTile sample(request);
  const BandMemory memory(lane, sample.tile(), factor.order);
  const OnLane lower(lane, factor.lower);
  LaneMatrix tokens(lane, OCTAVO_F32, held_out.shape[0], held_out.shape[1]);
  upload(lane, held_out.data, tokens.view());
  GateResult judged;
  round_to_nearest(lane, memory.band());
  judged.nearest = held_out_error(lane, tokens.view(), memory.band().residual);
  round_with_feedback(lane, memory.band(), {lower.view(), factor.pivots}, block);
  judged.feedback = held_out_error(lane, tokens.view(), memory.band().residual);
  return judged;
}

}  // namespace octavo::feedback
