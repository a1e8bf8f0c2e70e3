// Steps on a lane that the methods here are written in.
#pragma once

#include <octavo/lane.hpp>

#include <cstdint>

namespace octavo::feedback {

// target = a b, in f32; on a device in TF32, which an error below one step has no need to be better than
// (0.01 dB of the result).
void multiply(octavo_lane& lane, const octavo_tensor& a, const octavo_tensor& b, octavo_tensor target);

// target += a b, likewise.
void multiply_add(octavo_lane& lane, const octavo_tensor& a, const octavo_tensor& b, octavo_tensor target);

// target = a b^T, likewise.
void multiply_transposed(octavo_lane& lane, const octavo_tensor& a, const octavo_tensor& b,
                         octavo_tensor target);

// target += a b^T, likewise.
void multiply_transposed_add(octavo_lane& lane, const octavo_tensor& a, const octavo_tensor& b,
                             octavo_tensor target);

// Fills a packed matrix of the lane from host memory, which is free again afterwards.
void upload(octavo_lane& lane, const void* source, const octavo_tensor& target);

// Throws PluginError OCTAVO_CANCELLED once the run is to stop.
void check_cancelled(const octavo_lane& lane);

}  // namespace octavo::feedback
