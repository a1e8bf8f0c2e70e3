#include "feedback/lane_steps.hpp"

namespace octavo::feedback {
namespace {

octavo_matmul product(const octavo_tensor& a, const octavo_tensor& b, const octavo_tensor& target) {
  octavo_matmul made{};
  made.struct_size = sizeof made;
  made.precision = OCTAVO_PRECISION_F32;
  made.a = a;
  made.b = b;
  made.c = target;
  return made;
}

}  // namespace

void multiply(octavo_lane& lane, const octavo_tensor& a, const octavo_tensor& b, octavo_tensor target,
              Sum sum) {
  octavo_matmul matmul = product(a, b, target);
  matmul.accumulate = sum == Sum::add ? 1 : 0;
  issue(lane, &octavo_operations::matmul, &matmul);
}

void multiply_transposed(octavo_lane& lane, const octavo_tensor& a, const octavo_tensor& b,
                         octavo_tensor target) {
  octavo_matmul matmul = product(a, b, target);
  matmul.transpose_b = 1;
  issue(lane, &octavo_operations::matmul, &matmul);
}

void copy_matrix(octavo_lane& lane, const octavo_tensor& source, octavo_tensor target) {
  octavo_cast_result result{};
  result.struct_size = sizeof result;
  issue(lane, &octavo_operations::cast, &source, &target, 0u, &result);
  if (on_device(lane)) wait_for(lane);  // the result is written when the work is done
}

void upload(octavo_lane& lane, const void* source, const octavo_tensor& target) {
  const auto bytes = static_cast<std::uint64_t>(target.shape[0] * target.shape[1]) * bytes_of(target.dtype);
  copy_bytes(lane, target.data, lane.memory, source, OCTAVO_MEMORY_HOST, bytes);
  wait_for(lane);
}

HostCopy::HostCopy(octavo_lane& lane, const octavo_tensor& matrix) : view_(matrix) {
  if (!on_device(lane)) return;
  LaneMatrix packed(lane, OCTAVO_F32, matrix.shape[0], matrix.shape[1]);
  copy_matrix(lane, matrix, packed.view());
  const auto bytes = static_cast<std::uint64_t>(matrix.shape[0] * matrix.shape[1]) * sizeof(float);
  copy_ = std::make_unique<char[]>(bytes);
  copy_bytes(lane, copy_.get(), OCTAVO_MEMORY_HOST, packed.view().data, lane.memory, bytes);
  wait_for(lane);
  view_ = tensor_view(copy_.get(), OCTAVO_F32, {matrix.shape[0], matrix.shape[1]});
}

void check_cancelled(const octavo_lane& lane) {
  if (lane.host != nullptr && lane.host->cancelled(lane.host->context) != 0)
    throw PluginError(OCTAVO_CANCELLED, "stopped");
}

}  // namespace octavo::feedback
