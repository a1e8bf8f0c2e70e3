// What a batch of steps does: computed from the weights in f32, and summed in f64 and in fixed order.
#include "gpu_columns.cuh"

namespace octavo::descent::gpu {
namespace {

constexpr int kImageParts = 3;  // times kVector columns that a thread sums: 768 directions a pass

// In every thread the sum over the block. `room`: kWarps values.
template <typename T>
__device__ T block_sum(T value, T* room) {
  value = warp_sum(value);
  __syncthreads();
  if (lane() == 0) room[threadIdx.x / 32] = value;
  __syncthreads();
  T sum = room[0];
  for (int i = 1; i < kWarps; ++i) sum += room[i];
  return sum;
}

template <bool kAligned>
__global__ void __launch_bounds__(kThreads)
    residual_rows(Layer layer, std::int64_t first_row, std::int64_t rows, std::uint16_t* errors,
                  double* sums) {
  if (warp() >= rows) return;
  const std::int64_t row = first_row + warp(), begin = row * layer.cols;
  double sum = 0;
  for_columns<kAligned>(layer.cols, [&](const Columns<kAligned>& columns) {
    Neighbours<float> weights;
    Neighbours<std::int8_t> codes, distances;
    Neighbours<std::uint16_t> out;
    weights.read_once(layer.weights + begin, columns);
    codes.read_once(layer.codes + begin, columns);
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
      const bool there = i < columns.count;
      const float distance = static_cast<float>(codes.at[i]) - weights.at[i];
      const float error = there ? distance * at_element(layer.scales, layer, row, columns.first + i) : 0.0f;
      distances.at[i] = to_distance(distance);
      out.at[i] = to_half(error);
      sum += static_cast<double>(error) * error;
    }
    distances.write_once(layer.distance + begin, columns);
    out.write(errors + warp() * layer.cols, columns);
  });
  sum = warp_sum(sum);
  if (lane() == 0) sums[row] = sum;
}

__global__ void __launch_bounds__(kThreads)
    thin_rows(Layer layer, Batch batch, std::int64_t iteration, double share) {
  const std::int64_t row = warp();
  if (row >= layer.rows) return;
  std::int32_t* const list = batch.elements + row * batch.capacity;
  const int count = batch.counts[row];
  int kept = 0;
  for (int first = 0; first < count; first += 32) {
    const int i = first + lane();
    const std::int32_t element = i < count ? list[i] : 0;
    const bool keep = i < count && in_share(row * layer.cols + element / 2, iteration, share);
    int total = 0;
    const int place = kept + warp_scan(keep ? 1 : 0, total);  // all have read before any writes
    if (keep) list[place] = element;
    kept += total;
    __syncwarp();
  }
  if (lane() == 0) batch.counts[row] = kept;
}

// A step of a row's list: what it adds to the stored value, and the error before it.
struct Move {
  std::int32_t col = 0;
  float move = 0, before = 0;
};

__device__ Move move_of(const Layer& layer, std::int64_t row, std::int32_t element) {
  const std::int32_t col = element / 2;
  const std::int64_t at = row * layer.cols + col;
  const float step = at_element(layer.steps, layer, row, col);
  return {col, element % 2 != 0 ? step : -step,
          (static_cast<float>(layer.codes[at]) - layer.weights[at]) * step};
}

// kImageParts times kVector of a row of the image, 32 * kVector directions apart.
struct ImagePart {
  float sums[kImageParts][kVector] = {};

  __device__ void add(float move, const std::uint16_t* vector, std::int64_t width, std::int64_t first) {
#pragma unroll
    for (int part = 0; part < kImageParts; ++part) {
      Neighbours<std::uint16_t> values;
      values.read(vector, columns_from<true>(first + part * kWarpColumns, width));
#pragma unroll
      for (int i = 0; i < kVector; ++i) sums[part][i] += move * to_float(values.at[i]);
    }
  }
  __device__ void write(std::uint16_t* image, std::int64_t width, std::int64_t first) const {
#pragma unroll
    for (int part = 0; part < kImageParts; ++part) {
      Neighbours<std::uint16_t> values;
#pragma unroll
      for (int i = 0; i < kVector; ++i) values.at[i] = to_half(sums[part][i]);
      values.write(image, columns_from<true>(first + part * kWarpColumns, width));
    }
  }
};

__global__ void __launch_bounds__(kThreads) project_rows(Layer layer, Batch batch) {
  const std::int64_t row = warp();
  if (row >= layer.rows) return;
  const std::int32_t* const list = batch.elements + row * batch.capacity;
  const int count = batch.counts[row];
  double cross = 0, error = 0;
  for (std::int64_t begin = 0; begin < layer.width; begin += kImageParts * kWarpColumns) {
    ImagePart image;
    for (int first = 0; first < count; first += 32) {
      const Move mine = first + lane() < count ? move_of(layer, row, list[first + lane()]) : Move{};
      if (begin == 0) {
        cross += 2.0 * mine.before * mine.move;
        error += (2.0 * mine.before + mine.move) * mine.move;
      }
      const int here = min(32, count - first);
#pragma unroll 2
      for (int i = 0; i < here; ++i) {
        const std::int64_t col = __shfl_sync(~0u, mine.col, i);
        image.add(__shfl_sync(~0u, mine.move, i), layer.right + col * layer.width, layer.width, begin);
      }
    }
    image.write(batch.image + row * layer.width, layer.width, begin);
  }
  cross = warp_sum(cross);
  error = warp_sum(error);
  if (lane() == 0) {
    batch.cross[row] = cross;
    batch.error[row] = error;
  }
}

__device__ Results block_sum(const Results& of) {
  __shared__ double room[kWarps];
  return {block_sum(of.along, room), block_sum(of.cross, room), block_sum(of.error, room),
          block_sum(of.steps, room), block_sum(of.projected, room)};
}

__device__ void add(Results& to, const Results& what) {
  to.along += what.along;
  to.cross += what.cross;
  to.error += what.error;
  to.steps += what.steps;
  to.projected += what.projected;
}

// The change of P, of some columns of a row.
__device__ Neighbours<float> change_of(const Trial& trial, std::int64_t row, std::int64_t width,
                                       std::int64_t first) {
  Neighbours<float> parts[kMostParts];  // all of them on their way at once
#pragma unroll
  for (int part = 0; part < kMostParts; ++part) {
    const Columns<true> columns{first, part < trial.parts ? kVector : 0};
    parts[part].read(trial.changes + (part * width + row) * width, columns);
  }
  Neighbours<float> sums = parts[0];
#pragma unroll
  for (int part = 1; part < kMostParts; ++part) {
#pragma unroll
    for (int i = 0; i < kVector; ++i) sums.at[i] += parts[part].at[i];
  }
  return sums;
}

// This thread's part of a row of P.
__device__ Results try_row(std::int64_t row, std::int64_t width, const Trial& trial) {
  Results results{};
  for (std::int64_t first = threadIdx.x * kVector; first < width; first += kThreads * kVector) {
    const Columns<true> columns{first, kVector};
    Neighbours<double> before, after;
    before.read(trial.before + row * width, columns);
    const Neighbours<float> change = change_of(trial, row, width, first);
    Neighbours<std::uint16_t> halves;
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
      after.at[i] = before.at[i] + static_cast<double>(change.at[i]);
      halves.at[i] = to_half(static_cast<float>(after.at[i]) * trial.half_factor);
      results.along += before.at[i] * static_cast<double>(change.at[i]);
      results.projected += after.at[i] * after.at[i];
    }
    after.write(trial.after + row * width, columns);
    halves.write(trial.halves + row * width, columns);
  }
  return results;
}

// True in the block that is the last to come here: it sees what the first threads of all others have written.
__device__ bool is_last(unsigned* arrived) {
  __shared__ bool last;
  if (threadIdx.x == 0) {
    __threadfence();
    last = atomicInc(arrived, gridDim.x - 1) == gridDim.x - 1;
    __threadfence();
  }
  __syncthreads();
  return last;
}

// A block takes a row of P, and its share of the layer's rows; the last one adds up what all have found.
__global__ void __launch_bounds__(kThreads, 5) sum_up_rows(Layer layer, Batch batch, Trial trial) {
  Results sums = try_row(blockIdx.x, layer.width, trial);
  const std::int64_t all_threads = std::int64_t{gridDim.x} * kThreads;
  for (std::int64_t row = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; row < layer.rows;
       row += all_threads)
    add(sums, {0, batch.cross[row], batch.error[row], static_cast<double>(batch.counts[row]), 0});
  sums = block_sum(sums);
  if (threadIdx.x == 0) trial.partial[blockIdx.x] = sums;
  if (!is_last(trial.arrived)) return;
  sums = {};
  for (unsigned i = threadIdx.x; i < gridDim.x; i += kThreads) add(sums, trial.partial[i]);
  sums = block_sum(sums);
  if (threadIdx.x == 0) *trial.results = sums;
}

__global__ void __launch_bounds__(kThreads) accept_rows(Layer layer, Batch batch) {
  const std::int64_t row = warp();
  if (row >= layer.rows) return;
  for (int i = lane(); i < batch.counts[row]; i += 32) {
    const std::int32_t element = batch.elements[row * batch.capacity + i];
    const std::int64_t at = row * layer.cols + element / 2;
    const int code = layer.codes[at] + (element % 2 != 0 ? 1 : -1);
    layer.codes[at] = static_cast<std::int8_t>(code);
    layer.distance[at] = to_distance(static_cast<float>(code) - layer.weights[at]);
  }
}

}  // namespace

void use_device(int index) { cudaSetDevice(index); }

void residual(const Layer& layer, std::int64_t first_row, std::int64_t rows, std::uint16_t* errors,
              double* sums) {
  const auto kernel = is_aligned(layer) ? residual_rows<true> : residual_rows<false>;
  kernel<<<blocks_for(rows), kThreads, 0, stream_of(layer)>>>(layer, first_row, rows, errors, sums);
}

void thin(const Layer& layer, const Batch& batch, std::int64_t iteration, double share) {
  thin_rows<<<blocks_for(layer.rows), kThreads, 0, stream_of(layer)>>>(layer, batch, iteration, share);
}

void project(const Layer& layer, const Batch& batch) {
  project_rows<<<blocks_for(layer.rows), kThreads, 0, stream_of(layer)>>>(layer, batch);
}

void sum_up(const Layer& layer, const Batch& batch, const Trial& trial) {
  sum_up_rows<<<static_cast<unsigned>(layer.width), kThreads, 0, stream_of(layer)>>>(layer, batch, trial);
}

void accept(const Layer& layer, const Batch& batch) {
  accept_rows<<<blocks_for(layer.rows), kThreads, 0, stream_of(layer)>>>(layer, batch);
}

const char* failure() {
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

}  // namespace octavo::descent::gpu
