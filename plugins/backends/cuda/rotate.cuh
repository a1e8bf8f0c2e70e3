// ConvRot's butterflies, in the order of additions that abi/grid.h defines.
#pragma once

namespace octavo::cuda {

// As octavo/grid.hpp has it (which nvcc does not read): values from here on are not usable in a rotated
// basis.
constexpr float kRotatedLimit = 0x1p118f;

// (a, b, c, d) times 2 x H4. 2x is exact, so the fused multiply-add gives the bits of t - 2x.
__device__ inline void butterfly(float& a, float& b, float& c, float& d) {
  const float t = __fadd_rn(__fadd_rn(a, b), __fadd_rn(c, d));
  const float first = __fmaf_rn(-2.0f, d, t);
  const float second = __fmaf_rn(-2.0f, c, t);
  const float third = __fmaf_rn(-2.0f, b, t);
  const float fourth = __fmaf_rn(-2.0f, a, t);
  a = first;
  b = second;
  c = third;
  d = fourth;
}

// `width` values in shared memory, a multiple of `group`, which is a power of 4. All threads of the block
// call it; the values are there for all of them before and after. Not yet multiplied with 1 / sqrt(group).
__device__ inline void rotate_shared(float* values, int width, int group) {
  for (int log_stride = 0; (1 << log_stride) < group; log_stride += 2) {
    const int stride = 1 << log_stride;
    for (int i = static_cast<int>(threadIdx.x); i < width / 4; i += static_cast<int>(blockDim.x)) {
      float* at = values + ((i >> log_stride) << (log_stride + 2)) + (i & (stride - 1));
      butterfly(at[0], at[stride], at[2 * stride], at[3 * stride]);
    }
    __syncthreads();
  }
}

}  // namespace octavo::cuda
