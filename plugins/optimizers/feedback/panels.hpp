// Cholesky factors of wide matrices on a device, where LibTorch's own runs in f32 arithmetic alone.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace octavo::feedback {

// Up to this many columns LibTorch's own is as fast.
inline constexpr std::int64_t kSmallOnDevice = 4096;

// C of `matrix` = C C^T (f32, row by row, contiguous, on a device), in its memory;
// false where it has none, and then nothing of it is left.
bool cholesky_in_panels(at::Tensor& matrix);

}  // namespace octavo::feedback
