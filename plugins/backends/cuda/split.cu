#include "split.hpp"
#include "status.hpp"

#include <cuda_bf16.h>

namespace octavo::cuda {
namespace {

constexpr unsigned kSplitThreads = 256;

__global__ void __launch_bounds__(kSplitThreads)
    split_kernel(const View x, std::uint16_t* __restrict__ high, std::uint16_t* __restrict__ low) {
  for (std::int64_t row = blockIdx.x; row < x.rows; row += gridDim.x) {
    const float* values = static_cast<const float*>(x.data) + row * x.stride;
#pragma unroll 4
    for (std::int64_t col = threadIdx.x; col < x.cols; col += kSplitThreads) {
      const float value = values[col];
      const __nv_bfloat16 upper = __float2bfloat16_rn(value);
      const __nv_bfloat16 rest = __float2bfloat16_rn(__fsub_rn(value, __bfloat162float(upper)));
      high[row * x.cols + col] = __bfloat16_as_ushort(upper);
      low[row * x.cols + col] = __bfloat16_as_ushort(rest);
    }
  }
}

}  // namespace

void split_values(const Launch& launch, const View& x, std::uint16_t* high, std::uint16_t* low) {
  if (x.rows == 0 || x.cols == 0) return;
  split_kernel<<<grid_for(launch, split_kernel, x.rows, kSplitThreads), kSplitThreads, 0, launch.stream>>>(
      x, high, low);
  check_launch("gram");
}

}  // namespace octavo::cuda
