// Steps on a lane that the methods here are written in.
#pragma once

#include <octavo/lane.hpp>

#include <cstdint>

namespace octavo::feedback {

enum class Sum { replace, add };

// target = a b, or target + a b, in f32.
void multiply(octavo_lane& lane, const octavo_tensor& a, const octavo_tensor& b, octavo_tensor target,
              Sum sum);

// target = a b^T in f32.
void multiply_transposed(octavo_lane& lane, const octavo_tensor& a, const octavo_tensor& b,
                         octavo_tensor target);

// Copies a matrix of floats within the lane's memory.
void copy_matrix(octavo_lane& lane, const octavo_tensor& source, octavo_tensor target);

// Fills a packed matrix of the lane from host memory, which is free again afterwards.
void upload(octavo_lane& lane, const void* source, const octavo_tensor& target);

// A matrix of the lane for the CPU to read: itself where it can, else a copy.
class HostCopy {
 public:
  HostCopy(octavo_lane& lane, const octavo_tensor& matrix);
  const octavo_tensor& view() const { return view_; }

 private:
  std::unique_ptr<char[]> copy_;
  octavo_tensor view_;
};

// Throws PluginError OCTAVO_CANCELLED once the run is to stop.
void check_cancelled(const octavo_lane& lane);

}  // namespace octavo::feedback
