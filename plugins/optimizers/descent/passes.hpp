// Passes over whole matrices. On a GPU each is one kernel of octavo's (gpu_passes.hpp), or several of
// LibTorch's where octavo's were not built.
#pragma once

#include "band.hpp"
#include "gpu_steps.hpp"
#include "work.hpp"

namespace octavo::descent {

// f32, of one value.
at::Tensor largest_magnitude(const at::Tensor& matrix);

// On a GPU: the matrix (f32) over its largest magnitude in 16 bits, which products are fastest with.
at::Tensor in_halves(const Work& work, const at::Tensor& matrix);

// On a GPU: f32 [n, q] -> 16 bits [2 n, q], the matrix rounded and below it what that leaves.
at::Tensor split(const Work& work, const at::Tensor& matrix);

// On a GPU: factor * matrix - shift * identity, f32 [n, n] -> 16 bits [n, 2 n], twice side by side.
at::Tensor shifted_twice(const Work& work, const at::Tensor& matrix, double factor, double shift);

// Of errors: the sum of their squares, and the largest magnitude.
struct ErrorSizes {
  double squares;
  double largest;
};
ErrorSizes error_sizes(const Work& work, const Band& band);

// What kernels are told of a band: its shape, its scales, weights and codes, and the stream.
gpu::Layer layer_of(const Work& work, const Band& band);

// Throws PluginError OCTAVO_DEVICE_LOST if a kernel of octavo's has failed since the last call.
void check_kernels(const Work& work);

}  // namespace octavo::descent
