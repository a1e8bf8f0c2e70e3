// A warp takes a row. All of them wait for memory, and for nothing else.
#include "gpu_columns.cuh"
#include "gpu_passes.hpp"

namespace octavo::descent::gpu {
namespace {

template <bool kAligned>
__global__ void __launch_bounds__(kThreads)
    divide_rows(Matrix matrix, const float* divisor, std::uint16_t* halves) {
  if (warp() >= matrix.rows) return;
  const std::int64_t begin = warp() * matrix.cols;
  const float by = *divisor;
  for_columns<kAligned>(matrix.cols, [&](const Columns<kAligned>& columns) {
    Neighbours<float> values;
    Neighbours<std::uint16_t> quotients;
    values.read(matrix.values + begin, columns);
#pragma unroll
    for (int i = 0; i < kVector; ++i) quotients.at[i] = to_half(values.at[i] / by);
    quotients.write(halves + begin, columns);
  });
}

template <bool kAligned>
__global__ void __launch_bounds__(kThreads) split_rows(Matrix matrix, std::uint16_t* halves) {
  if (warp() >= matrix.rows) return;
  const std::int64_t begin = warp() * matrix.cols;
  for_columns<kAligned>(matrix.cols, [&](const Columns<kAligned>& columns) {
    Neighbours<float> values;
    Neighbours<std::uint16_t> high, low;
    values.read(matrix.values + begin, columns);
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
      high.at[i] = to_half(values.at[i]);
      low.at[i] = to_half(values.at[i] - to_float(high.at[i]));
    }
    high.write(halves + begin, columns);
    low.write(halves + matrix.rows * matrix.cols + begin, columns);
  });
}

template <bool kAligned>
__global__ void __launch_bounds__(kThreads)
    shift_rows(Matrix matrix, float factor, float shift, std::uint16_t* halves) {
  const std::int64_t row = warp();
  if (row >= matrix.rows) return;
  std::uint16_t* const to = halves + 2 * row * matrix.cols;
  for_columns<kAligned>(matrix.cols, [&](const Columns<kAligned>& columns) {
    Neighbours<float> values;
    Neighbours<std::uint16_t> shifted;
    values.read(matrix.values + row * matrix.cols, columns);
#pragma unroll
    for (int i = 0; i < kVector; ++i)
      shifted.at[i] = to_half(values.at[i] * factor - (columns.first + i == row ? shift : 0.0f));
    shifted.write(to, columns);
    shifted.write(to + matrix.cols, columns);
  });
}

__device__ double warp_max(double value) {
  for (int distance = 16; distance > 0; distance /= 2)
    value = fmax(value, __shfl_xor_sync(~0u, value, distance));
  return value;
}

template <bool kAligned>
__global__ void __launch_bounds__(kThreads) measure_rows(Layer layer, double* squares, double* largest) {
  const std::int64_t row = warp(), begin = row * layer.cols;
  if (row >= layer.rows) return;
  double sum = 0;
  float most = 0;
  for_columns<kAligned>(layer.cols, [&](const Columns<kAligned>& columns) {
    Neighbours<float> weights;
    Neighbours<std::int8_t> codes;
    weights.read_once(layer.weights + begin, columns);
    codes.read_once(layer.codes + begin, columns);
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
      if (i >= columns.count) continue;
      const float scale = at_element(layer.scales, layer, row, columns.first + i);
      const float error = (static_cast<float>(codes.at[i]) - weights.at[i]) * scale;
      sum += static_cast<double>(error) * error;
      most = fmaxf(most, fabsf(error));
    }
  });
  sum = warp_sum(sum);
  const double most_of_all = warp_max(most);
  if (lane() != 0) return;
  squares[row] = sum;
  largest[row] = most_of_all;
}

bool is_aligned(const Matrix& matrix) { return matrix.cols % kVector == 0; }

template <typename Kernel, typename... Arguments>
void launch(Kernel kernel, const Matrix& matrix, Arguments... arguments) {
  kernel<<<blocks_for(matrix.rows), kThreads, 0, static_cast<cudaStream_t>(matrix.stream)>>>(matrix,
                                                                                             arguments...);
}

}  // namespace

void divide(const Matrix& matrix, const float* divisor, std::uint16_t* halves) {
  launch(is_aligned(matrix) ? divide_rows<true> : divide_rows<false>, matrix, divisor, halves);
}

void split(const Matrix& matrix, std::uint16_t* halves) {
  launch(is_aligned(matrix) ? split_rows<true> : split_rows<false>, matrix, halves);
}

void shift_twice(const Matrix& matrix, float factor, float shift, std::uint16_t* halves) {
  launch(is_aligned(matrix) ? shift_rows<true> : shift_rows<false>, matrix, factor, shift, halves);
}

void measure_errors(const Layer& layer, double* squares, double* largest) {
  const auto kernel = is_aligned(layer) ? measure_rows<true> : measure_rows<false>;
  kernel<<<blocks_for(layer.rows), kThreads, 0, stream_of(layer)>>>(layer, squares, largest);
}

}  // namespace octavo::descent::gpu
