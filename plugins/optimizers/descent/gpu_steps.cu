// A block of threads takes a row, a warp where every element is touched. What is touched for every element of
// a layer is kept in 16 bits where that serves: the gradient, the distance to the code and the offset only
// decide which steps are proposed. What a batch of steps does is computed from the weights in f32, and summed
// in f64 and in fixed order.
#include "gpu_steps.hpp"

#include <cuda_fp16.h>

namespace octavo::descent::gpu {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / 32;
constexpr int kVector = 8;      // neighbouring columns that a thread takes at a time
constexpr int kMostPairs = 16;  // pairs of directions that a thread sums: widths up to 4096
constexpr float kOffsetLimit = 1.5f;
constexpr float kLeastScale = 1e-12f;
constexpr float kLeastSize = 1e-30f;
constexpr float kLeastSquare = 1e-37f;

// In every lane the sum over the warp.
template <typename T>
__device__ T warp_sum(T value) {
  for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(~0u, value, distance);
  return value;
}

// In every thread the sum over the block. `room`: kWarps + 1 values.
template <typename T>
__device__ T block_sum(T value, T* room) {
  value = warp_sum(value);
  __syncthreads();
  if (threadIdx.x % 32 == 0) room[threadIdx.x / 32] = value;
  __syncthreads();
  T sum = room[0];
  for (int warp = 1; warp < static_cast<int>(blockDim.x) / 32; ++warp) sum += room[warp];
  return sum;
}

// The sum of `count` over this lane and those before it.
__device__ int inclusive_scan(int count) {
  for (int distance = 1; distance < 32; distance *= 2) {
    const int other = __shfl_up_sync(~0u, count, distance);
    if (threadIdx.x % 32 >= distance) count += other;
  }
  return count;
}

// How many of `count`s the lanes before this one have; `total` of the warp.
__device__ int warp_scan(int count, int& total) {
  const int inclusive = inclusive_scan(count);
  total = __shfl_sync(~0u, inclusive, 31);
  return inclusive - count;
}

// How many of `count`s the threads before this one have; `total` of the block.
__device__ int block_scan(int count, int* room, int& total) {
  const int inclusive = inclusive_scan(count);
  __syncthreads();
  if (threadIdx.x % 32 == 31) room[threadIdx.x / 32] = inclusive;
  __syncthreads();
  int before = inclusive - count;
  total = 0;
  for (int warp = 0; warp < kWarps; ++warp) {
    if (warp < static_cast<int>(threadIdx.x) / 32) before += room[warp];
    total += room[warp];
  }
  return before;
}

// kVector neighbours; `whole`: all of them are there, and aligned.
template <typename T>
struct Neighbours {
  alignas(sizeof(T) * kVector > 16 ? 16 : sizeof(T) * kVector) T at[kVector];

  __device__ void read(const T* from, bool whole, int count) {
    if (whole) {
      copy(at, from);
    } else {
      for (int i = 0; i < kVector; ++i) at[i] = i < count ? from[i] : T{};
    }
  }
  __device__ void write(T* to, bool whole, int count) const {
    if (whole) {
      copy(to, at);
    } else {
      for (int i = 0; i < kVector; ++i) {
        if (i < count) to[i] = at[i];
      }
    }
  }
  __device__ static void copy(T* to, const T* from) {
    constexpr int bytes = sizeof(T) * kVector;
    if constexpr (bytes == 8) {
      *reinterpret_cast<uint2*>(to) = *reinterpret_cast<const uint2*>(from);
    } else {
#pragma unroll
      for (int i = 0; i < bytes / 16; ++i)
        reinterpret_cast<uint4*>(to)[i] = reinterpret_cast<const uint4*>(from)[i];
    }
  }
};

__device__ float to_float(std::uint16_t half) { return __half2float(__ushort_as_half(half)); }
__device__ std::uint16_t to_half(float value) { return __half_as_ushort(__float2half_rn(value)); }

__device__ float at_element(const float* values, const Layer& layer, std::int64_t row, std::int64_t col) {
  return values[row * layer.scale_row + col * layer.scale_col];
}

// A Weyl sequence over elements, which leaves no pattern in rows or columns, begun anew in each iteration.
__device__ bool in_share(std::int64_t element, std::int64_t iteration, double share) {
  constexpr double kElement = 0.7548776662466927, kIteration = 0.5698402909980532;
  const double place = static_cast<double>(element) * kElement + static_cast<double>(iteration) * kIteration;
  return place - trunc(place) < share;
}

// A step of a smaller scale costs less, so the gradient with respect to codes is g / s.
__device__ float raw_direction(const Layer& layer, float gradient, std::int64_t row, std::int64_t col) {
  if (layer.scale_col == 0) return gradient;
  return gradient / fmaxf(at_element(layer.scales, layer, row, col), kLeastScale);
}

__global__ void __launch_bounds__(kThreads) residual_rows(Layer layer, std::uint16_t* errors, double* sums) {
  __shared__ double room[kWarps + 1];
  const std::int64_t row = blockIdx.x, begin = row * layer.cols;
  const bool aligned = layer.cols % kVector == 0;
  double sum = 0;
  for (std::int64_t col = threadIdx.x * kVector; col < layer.cols; col += kThreads * kVector) {
    const int count = static_cast<int>(min(static_cast<std::int64_t>(kVector), layer.cols - col));
    Neighbours<float> weights;
    Neighbours<std::int8_t> codes;
    Neighbours<std::uint16_t> distances, out;
    weights.read(layer.weights + begin + col, aligned, count);
    codes.read(layer.codes + begin + col, aligned, count);
    for (int i = 0; i < kVector; ++i) {
      const float distance = static_cast<float>(codes.at[i]) - weights.at[i];
      const float error = i < count ? distance * at_element(layer.scales, layer, row, col + i) : 0.0f;
      distances.at[i] = to_half(distance);
      out.at[i] = to_half(error);
      sum += static_cast<double>(error) * error;
    }
    distances.write(layer.distance + begin + col, aligned, count);
    out.write(errors + begin + col, aligned, count);
  }
  sum = block_sum(sum, room);
  if (threadIdx.x == 0) sums[row] = sum;
}

__device__ float next_mean(const Direction& direction, float mean, float unit) {
  return direction.beta1 * mean + (1 - direction.beta1) * unit;
}

// What a thread knows of kVector neighbours of a row while their weights are moved.
template <bool kMoments>
struct Moved {
  Neighbours<std::uint16_t> gradients, distances, offsets;
  Neighbours<float> right_squares, seconds;
  Neighbours<std::uint16_t> means;
  Neighbours<std::int8_t> codes;

  __device__ void read(const Layer& layer, const Proposal& proposal, std::int64_t begin, std::int64_t col,
                       bool aligned, int count) {
    gradients.read(proposal.gradient + begin + col, aligned, count);
    distances.read(layer.distance + begin + col, aligned, count);
    offsets.read(layer.offset + begin + col, aligned, count);
    codes.read(layer.codes + begin + col, aligned, count);
    right_squares.read(layer.right_squares + col, aligned, count);
    if constexpr (kMoments) {
      means.read(layer.mean + begin + col, aligned, count);
      seconds.read(layer.square + begin + col, aligned, count);
    }
  }
  __device__ void write(const Layer& layer, std::int64_t begin, std::int64_t col, bool aligned,
                        int count) const {
    offsets.write(layer.offset + begin + col, aligned, count);
    if constexpr (kMoments) {
      means.write(layer.mean + begin + col, aligned, count);
      seconds.write(layer.square + begin + col, aligned, count);
    }
  }
  // Where the rule moves element i, for a gradient of `unit`. `by_means`: 1 / the size of the row's means.
  __device__ float way(const Direction& direction, int i, float unit, float by_means) {
    if constexpr (!kMoments) return unit;
    const float mean = next_mean(direction, to_float(means.at[i]), unit);
    means.at[i] = to_half(mean);
    seconds.at[i] = direction.beta2 * seconds.at[i] + (1 - direction.beta2) * unit * unit;
    if (direction.by_row_size) return mean * by_means;
    const float square = fmaxf(seconds.at[i] * direction.square_factor, kLeastSquare);
    return __fdividef(direction.factor * direction.mean_factor * mean,
                      square * rsqrtf(square) + direction.epsilon);
  }
};

// The columns of a row that the threads of a warp take: kVector neighbours each, as often as it takes.
template <typename Body>
__device__ void for_columns(const Layer& layer, Body body) {
  for (std::int64_t first = 0; first < layer.cols; first += 32 * kVector) {
    const std::int64_t col = first + threadIdx.x % 32 * kVector;
    body(col,
         static_cast<int>(max(min(static_cast<std::int64_t>(kVector), layer.cols - col), std::int64_t{0})));
  }
}

// Of the steps chosen from element `first` on, a bit each, those in the share.
__device__ unsigned in_share(const Proposal& proposal, std::int64_t first, unsigned chosen) {
  if (proposal.share >= 1) return chosen;
  unsigned left = chosen;
  for (; chosen != 0; chosen &= chosen - 1) {
    const int i = __ffs(chosen) - 1;
    if (!in_share(first + i, proposal.iteration, proposal.share)) left &= ~(1u << i);
  }
  return left;
}

// A warp takes a row, so that nothing waits for anything but memory. kMoments: of the direction. kRowScales:
// one scale, and one step, for all columns of a row.
template <bool kMoments, bool kRowScales>
__global__ void __launch_bounds__(kThreads)
    propose_rows(Layer layer, Direction direction, Proposal proposal, Batch batch) {
  const std::int64_t row = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) / 32, begin = row * layer.cols;
  if (row >= layer.rows) return;
  const bool aligned = layer.cols % kVector == 0;
  const float root = sqrtf(static_cast<float>(layer.cols));
  const auto unit_of = [&](float gradient, std::int64_t col) {
    return kRowScales ? gradient : raw_direction(layer, gradient, row, col);
  };
  float squares = 0;
  for_columns(layer, [&](std::int64_t col, int count) {
    Neighbours<std::uint16_t> gradients;
    gradients.read(proposal.gradient + begin + col, aligned && count > 0, count);
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
      const float value = i < count ? unit_of(to_float(gradients.at[i]), col + i) : 0.0f;
      squares += value * value;
    }
  });
  const float by_size = 1 / fmaxf(sqrtf(warp_sum(squares)) / root, kLeastSize);

  float by_means = 1;
  if (kMoments && direction.by_row_size) {
    float means = 0;
    for_columns(layer, [&](std::int64_t col, int count) {
      Neighbours<std::uint16_t> gradients, before;
      gradients.read(proposal.gradient + begin + col, aligned && count > 0, count);
      before.read(layer.mean + begin + col, aligned && count > 0, count);
#pragma unroll
      for (int i = 0; i < kVector; ++i) {
        if (i >= count) break;
        const float unit = unit_of(to_float(gradients.at[i]), col + i) * by_size;
        const float mean = next_mean(direction, to_float(before.at[i]), unit);
        means += mean * mean;
      }
    });
    by_means = 1 / fmaxf(sqrtf(warp_sum(means)) / root, kLeastSize);
  }

  std::int64_t listed = 0;
  const float left_square = layer.left_squares[row];
  const float row_step = kRowScales ? at_element(layer.steps, layer, row, 0) : 0.0f;
  std::int32_t* const list = batch.elements + row * batch.capacity;
  for_columns(layer, [&](std::int64_t col, int count) {
    unsigned chosen = 0, ups = 0;
    if (count > 0) {
      Moved<kMoments> moved;
      moved.read(layer, proposal, begin, col, aligned, count);
#pragma unroll
      for (int i = 0; i < kVector; ++i) {
        if (i >= count) break;
        const float gradient = to_float(moved.gradients.at[i]), old = to_float(moved.offsets.at[i]);
        const float way = moved.way(direction, i, unit_of(gradient, col + i) * by_size, by_means) +
                          direction.weight_decay * old;
        const float offset = fminf(fmaxf(old - proposal.rate * way, -kOffsetLimit), kOffsetLimit);
        moved.offsets.at[i] = to_half(offset);
        const float distance = to_float(moved.distances.at[i]);
        const float move = fminf(fmaxf(rintf(offset - distance), -1.0f), 1.0f);
        const float step = kRowScales ? row_step : at_element(layer.steps, layer, row, col + i);
        const float slope = gradient * proposal.gradient_scale + proposal.error_weight * distance * step;
        const float change = step * step * (proposal.error_weight + left_square * moved.right_squares.at[i]) +
                             2 * move * step * slope;
        const float code = moved.codes.at[i] + move;
        const bool has_room = code >= layer.least_code && code <= layer.largest_code;
        chosen |= (move != 0 && change < 0 && has_room ? 1u : 0u) << i;
        ups |= (move > 0 ? 1u : 0u) << i;
      }
      moved.write(layer, begin, col, aligned, count);
      chosen = in_share(proposal, begin + col, chosen);
    }
    int total = 0;
    std::int64_t place = listed + warp_scan(__popc(chosen), total);
    for (; chosen != 0; chosen &= chosen - 1, ++place) {
      const int i = __ffs(chosen) - 1;
      if (place < batch.capacity) list[place] = static_cast<std::int32_t>(2 * (col + i) + (ups >> i & 1));
    }
    listed += total;
  });
  if (threadIdx.x % 32 == 0) batch.counts[row] = static_cast<std::int32_t>(min(listed, batch.capacity));
}

__global__ void __launch_bounds__(kThreads)
    thin_rows(std::int64_t cols, Batch batch, std::int64_t iteration, double share) {
  __shared__ int places[kWarps + 1];
  const std::int64_t row = blockIdx.x;
  std::int32_t* const list = batch.elements + row * batch.capacity;
  const int count = batch.counts[row];
  int kept = 0;
  for (int first = 0; first < count; first += kThreads) {
    const int i = first + static_cast<int>(threadIdx.x);
    const std::int32_t element = i < count ? list[i] : 0;
    const bool keep = i < count && in_share(row * cols + element / 2, iteration, share);
    int total = 0;
    const int place = kept + block_scan(keep, places, total);  // all have read before any writes
    if (keep) list[place] = element;
    kept += total;
  }
  __syncthreads();
  if (threadIdx.x == 0) batch.counts[row] = kept;
}

__global__ void __launch_bounds__(kThreads) project_rows(Layer layer, Proposal proposal, Batch batch) {
  __shared__ double room[kWarps + 1];
  __shared__ float moves[kThreads];
  __shared__ std::int32_t columns[kThreads];
  const std::int64_t row = blockIdx.x, begin = row * layer.cols;
  const std::int32_t* const list = batch.elements + row * batch.capacity;
  const int count = batch.counts[row], pairs = static_cast<int>(layer.width / 2);
  double linear = 0, error = 0;
  float2 sums[kMostPairs] = {};
  for (int first = 0; first < count; first += kThreads) {
    const int i = first + static_cast<int>(threadIdx.x), here = min(kThreads, count - first);
    __syncthreads();
    if (i < count) {
      const std::int32_t element = list[i];
      const std::int64_t col = element / 2, at = begin + col;
      const float step = at_element(layer.steps, layer, row, col);
      const float move = element % 2 != 0 ? step : -step;
      const float before = (static_cast<float>(layer.codes[at]) - layer.weights[at]) * step;
      const float slope =
          to_float(proposal.gradient[at]) * proposal.gradient_scale + proposal.error_weight * before;
      linear += 2.0 * move * slope;
      error += (2.0 * before + move) * move;
      moves[threadIdx.x] = move;
      columns[threadIdx.x] = static_cast<std::int32_t>(col);
    }
    __syncthreads();
    for (int j = 0; j < here; ++j) {
      const auto* const vector = reinterpret_cast<const __half2*>(layer.right + columns[j] * layer.width);
#pragma unroll
      for (int k = 0; k < kMostPairs; ++k) {
        const int pair = static_cast<int>(threadIdx.x) + k * kThreads;
        if (pair >= pairs) break;
        const float2 values = __half22float2(vector[pair]);
        sums[k].x += moves[j] * values.x;
        sums[k].y += moves[j] * values.y;
      }
    }
  }
  auto* const image = reinterpret_cast<__half2*>(batch.image + row * layer.width);
#pragma unroll
  for (int k = 0; k < kMostPairs; ++k) {
    const int pair = static_cast<int>(threadIdx.x) + k * kThreads;
    if (pair >= pairs) break;
    image[pair] = __float22half2_rn(sums[k]);
  }
  linear = block_sum(linear, room);
  error = block_sum(error, room);
  if (threadIdx.x == 0) {
    batch.linear[row] = linear;
    batch.error[row] = error;
  }
}

__global__ void __launch_bounds__(kThreads) try_rows(std::int64_t width, const double* projection,
                                                     const float* change, double* trial, double* partial) {
  __shared__ double room[kWarps + 1];
  const std::int64_t begin = blockIdx.x * width;
  double sum = 0;
  for (std::int64_t i = begin + threadIdx.x; i < begin + width; i += kThreads) {
    const double value = projection[i] + static_cast<double>(change[i]);
    trial[i] = value;
    sum += value * value;
  }
  sum = block_sum(sum, room);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

constexpr int kSumThreads = 1024;

__global__ void __launch_bounds__(kSumThreads)
    sum_rows(std::int64_t rows, std::int64_t width, Batch batch, const double* partial, double* results) {
  __shared__ double room[kSumThreads / 32];
  double linear = 0, error = 0, steps = 0, square = 0;
  for (std::int64_t i = threadIdx.x; i < rows; i += kSumThreads) {
    linear += batch.linear[i];
    error += batch.error[i];
    steps += batch.counts[i];
  }
  for (std::int64_t i = threadIdx.x; i < width; i += kSumThreads) square += partial[i];
  const double sums[kResults] = {linear, error, steps, square};
  for (int i = 0; i < kResults; ++i) {
    const double sum = block_sum(sums[i], room);
    if (threadIdx.x == 0) results[i] = sum;
  }
}

__global__ void __launch_bounds__(kThreads) accept_rows(Layer layer, Batch batch) {
  const std::int64_t row = blockIdx.x, begin = row * layer.cols;
  for (int i = static_cast<int>(threadIdx.x); i < batch.counts[row]; i += kThreads) {
    const std::int32_t element = batch.elements[row * batch.capacity + i];
    const std::int64_t at = begin + element / 2;
    const int code = layer.codes[at] + (element % 2 != 0 ? 1 : -1);
    layer.codes[at] = static_cast<std::int8_t>(code);
    layer.distance[at] = to_half(static_cast<float>(code) - layer.weights[at]);
  }
}

unsigned blocks(const Layer& layer) { return static_cast<unsigned>(layer.rows); }
cudaStream_t stream_of(const Layer& layer) { return static_cast<cudaStream_t>(layer.stream); }

}  // namespace

void use_device(int index) { cudaSetDevice(index); }

void residual(const Layer& layer, std::uint16_t* errors, double* sums) {
  residual_rows<<<blocks(layer), kThreads, 0, stream_of(layer)>>>(layer, errors, sums);
}

void propose(const Layer& layer, const Direction& direction, const Proposal& proposal, const Batch& batch) {
  const bool row_scales = layer.scale_col == 0;
  const auto kernel = direction.moments ? row_scales ? propose_rows<true, true> : propose_rows<true, false>
                      : row_scales ? propose_rows<false, true>
                                        : propose_rows<false, false>;
  const auto blocks_of_warps = static_cast<unsigned>((layer.rows + kWarps - 1) / kWarps);
  kernel<<<blocks_of_warps, kThreads, 0, stream_of(layer)>>>(layer, direction, proposal, batch);
}

void thin(const Layer& layer, const Batch& batch, std::int64_t iteration, double share) {
  thin_rows<<<blocks(layer), kThreads, 0, stream_of(layer)>>>(layer.cols, batch, iteration, share);
}

void project(const Layer& layer, const Proposal& proposal, const Batch& batch) {
  project_rows<<<blocks(layer), kThreads, 0, stream_of(layer)>>>(layer, proposal, batch);
}

void sum_up(const Layer& layer, const Batch& batch, const double* projection, const float* change,
            double* trial, double* partial, double* results) {
  try_rows<<<static_cast<unsigned>(layer.width), kThreads, 0, stream_of(layer)>>>(layer.width, projection,
                                                                                  change, trial, partial);
  sum_rows<<<1, kSumThreads, 0, stream_of(layer)>>>(layer.rows, layer.width, batch, partial, results);
}

void accept(const Layer& layer, const Batch& batch) {
  accept_rows<<<blocks(layer), kThreads, 0, stream_of(layer)>>>(layer, batch);
}

const char* failure() {
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

}  // namespace octavo::descent::gpu
