#include "feedback/lane_steps.hpp"

namespace octavo::feedback {
namespace {

octavo_matmul product(const octavo_lane& lane, const octavo_tensor& a, const octavo_tensor& b,
                      const octavo_tensor& target) {
  octavo_matmul made{};
  made.struct_size = sizeof made;
  made.precision = on_device(lane) ? OCTAVO_PRECISION_TF32 : OCTAVO_PRECISION_F32;
  made.a = a;
  made.b = b;
  made.c = target;
  return made;
}

}  // namespace

void multiply(octavo_lane& lane, const octavo_tensor& a, const octavo_tensor& b, octavo_tensor target) {
  const octavo_matmul matmul = product(lane, a, b, target);
  issue(lane, &octavo_operations::matmul, &matmul);
}

void multiply_add(octavo_lane& lane, const octavo_tensor& a, const octavo_tensor& b, octavo_tensor target) {
  octavo_matmul matmul = product(lane, a, b, target);
  matmul.accumulate = 1;
  issue(lane, &octavo_operations::matmul, &matmul);
}

void multiply_transposed(octavo_lane& lane, const octavo_tensor& a, const octavo_tensor& b,
                         octavo_tensor target) {
  octavo_matmul matmul = product(lane, a, b, target);
  matmul.transpose_b = 1;
  issue(lane, &octavo_operations::matmul, &matmul);
}

void multiply_transposed_add(octavo_lane& lane, const octavo_tensor& a, const octavo_tensor& b,
                             octavo_tensor target) {
  octavo_matmul matmul = product(lane, a, b, target);
  matmul.transpose_b = 1;
  matmul.accumulate = 1;
  issue(lane, &octavo_operations::matmul, &matmul);
}

void upload(octavo_lane& lane, const void* source, const octavo_tensor& target) {
  const auto bytes = static_cast<std::uint64_t>(target.shape[0] * target.shape[1]) * bytes_of(target.dtype);
  copy_bytes(lane, target.data, lane.memory, source, OCTAVO_MEMORY_HOST, bytes);
  wait_for(lane);
}

void check_cancelled(const octavo_lane& lane) {
  if (lane.host != nullptr && lane.host->cancelled(lane.host->context) != 0)
    throw PluginError(OCTAVO_CANCELLED, "stopped");
}

}  // namespace octavo::feedback
