// The CUDA backend's operations on one lane, through the boundary as a run uses them, but back to back:
// issued one after the other and waited for at the end of a batch, so the time of one is the GPU's as long as
// issuing it takes less: its mean, and median and best of the batches. (In a run a tile's copies lie between
// them.) Operands rotate among several sets that do not fit the cache together. `of_copy` is the share of the
// bandwidth that a copy within the GPU's memory had in the same run, counting bytes read and written once.
//
//   octavo_kernels_cuda [Google Benchmark's options]     OCTAVO_BENCH_DEVICE=1 takes another GPU
#include "plugin_lane.hpp"

#include <octavo/grid.hpp>

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

namespace octavo::bench {
namespace {

class DeviceLane {
 public:
  DeviceLane()
      : plugin_(open_plugin(OCTAVO_BENCH_CUDA_BACKEND)),
        api_(*static_cast<const octavo_backend_api*>(plugin_.api)) {
    octavo_probe probe{};
    probe.struct_size = sizeof probe;
    octavo_error error = empty_error();
    check(plugin_.probe(&host(), &probe, &error), error);
    if (probe.score == 0) throw std::runtime_error(probe.reason);
    const char* device = std::getenv("OCTAVO_BENCH_DEVICE");
    const int index = device == nullptr ? 0 : std::atoi(device);
    name_ = probe.devices[index].name;
    check(api_.create(&host(), nullptr, 0, &self_, &error), error);
    octavo_lane_request request{};
    request.struct_size = sizeof request;
    request.index = 1;  // not the primary one: a stream of its own, like most lanes of a run
    request.count = 1;
    request.device = probe.devices[index].index;
    lane_.struct_size = sizeof lane_;
    lane_.host = &host();
    check(api_.open_lane(self_, &request, &lane_, &error), error);
  }
  ~DeviceLane() {
    api_.close_lane(self_, &lane_);
    api_.destroy(self_);
  }
  DeviceLane(const DeviceLane&) = delete;
  DeviceLane& operator=(const DeviceLane&) = delete;

  const std::string& name() const { return name_; }
  octavo_lane* raw() { return &lane_; }
  const octavo_operations& operations() const { return *lane_.operations; }

  void* allocate(std::uint64_t bytes) {
    octavo_error error = empty_error();
    void* data = nullptr;
    check(api_.allocate(&lane_, OCTAVO_MEMORY_DEVICE, bytes, &data, &error), error);
    return data;
  }
  void release(void* data) { api_.release(&lane_, OCTAVO_MEMORY_DEVICE, data); }
  void copy(void* to, const void* from, octavo_memory from_memory, std::uint64_t bytes) {
    octavo_error error = empty_error();
    check(api_.copy(&lane_, to, OCTAVO_MEMORY_DEVICE, from, from_memory, bytes, &error), error);
  }
  void finish() {
    octavo_error error = empty_error();
    check(api_.record(&lane_, 0, &error), error);
    check(api_.wait(&lane_, 0, &error), error);
  }

 private:
  const octavo_plugin& plugin_;
  const octavo_backend_api& api_;
  void* self_ = nullptr;
  octavo_lane lane_{};
  std::string name_;
};

DeviceLane& lane() {
  static DeviceLane opened;
  return opened;
}

// A matrix in the GPU's memory.
class Matrix {
 public:
  Matrix(std::uint32_t dtype, std::int64_t rows, std::int64_t cols)
      : view_(tensor_view(nullptr, dtype, {rows, cols})) {
    view_.memory = OCTAVO_MEMORY_DEVICE;
    view_.device = lane().raw()->device;
    view_.data = lane().allocate(static_cast<std::uint64_t>(rows * cols) * bytes_of(dtype));
  }
  ~Matrix() {
    if (view_.data != nullptr) lane().release(view_.data);
  }
  Matrix(Matrix&& other) noexcept : view_(other.view_) { other.view_.data = nullptr; }
  Matrix& operator=(Matrix&&) = delete;

  static Matrix gaussian(std::uint32_t dtype, std::int64_t rows, std::int64_t cols) {
    Matrix made(dtype, rows, cols);
    const std::vector<std::byte> values = gaussian_rows(dtype, rows, cols);
    lane().copy(made.view_.data, values.data(), OCTAVO_MEMORY_HOST, values.size());
    lane().finish();
    return made;
  }
  static Matrix filled(std::int64_t rows, std::int64_t cols, float value) {
    Matrix made(OCTAVO_F32, rows, cols);
    const std::vector<float> values(static_cast<std::size_t>(rows * cols), value);
    lane().copy(made.view_.data, values.data(), OCTAVO_MEMORY_HOST, values.size() * sizeof(float));
    lane().finish();
    return made;
  }

  octavo_tensor view() const { return view_; }
  // Rows [top, top + rows) and columns [left, left + cols).
  octavo_tensor part(std::int64_t top, std::int64_t left, std::int64_t rows, std::int64_t cols) const {
    octavo_tensor made = view_;
    made.data = static_cast<std::byte*>(view_.data) +
                static_cast<std::size_t>(top * view_.row_stride + left) * bytes_of(view_.dtype);
    made.shape[0] = rows;
    made.shape[1] = cols;
    return made;
  }

 private:
  octavo_tensor view_;
};

// Seconds of one call of `issue(i)` on the GPU, i counting through a batch.
template <typename Issue>
double seconds_each(int batch, Issue issue) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < batch; ++i) issue(i);
  lane().finish();
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
  return passed.count() / batch;
}

double copy_bandwidth() {
  static const double measured = [] {
    constexpr std::int64_t kBytes = std::int64_t{1} << 30;
    const Matrix from(OCTAVO_U8, 1, kBytes), to(OCTAVO_U8, 1, kBytes);
    double best = 0.0;
    for (int trial = 0; trial < 5; ++trial) {
      const double seconds = seconds_each(
          8, [&](int) { lane().copy(to.view().data, from.view().data, OCTAVO_MEMORY_DEVICE, kBytes); });
      best = std::max(best, 2.0 * static_cast<double>(kBytes) / seconds);
    }
    return best;
  }();
  return measured;
}

template <typename Issue>
void measure(benchmark::State& state, int batch, double elements, double bytes, Issue issue) {
  seconds_each(batch, issue);
  std::vector<double> batches;
  for (auto _ : state) {
    batches.push_back(seconds_each(batch, issue));
    state.SetIterationTime(batches.back());
  }
  const double mean =
      std::accumulate(batches.begin(), batches.end(), 0.0) / static_cast<double>(batches.size());
  std::sort(batches.begin(), batches.end());
  state.counters["median_us"] = batches[batches.size() / 2] * 1e6;
  state.counters["best_us"] = batches.front() * 1e6;
  state.counters["elements"] = elements / mean;
  state.counters["of_copy"] = bytes / mean / copy_bandwidth();
}

constexpr int kSets = 4;
constexpr int kBatch = 96;  // so that waiting for its end is not what is measured

struct Shape {
  std::int64_t rows, cols;
};

octavo_grid grid_of(const Shape& shape, const octavo_scale_level& level, std::int64_t rotation) {
  octavo_layer layer{};
  layer.rows = shape.rows;
  layer.cols = shape.cols;
  octavo_grid grid = int8_grid(layer, level);
  if (rotation != 0) {
    grid.basis = OCTAVO_BASIS_CONVROT;
    grid.basis_group = rotation;
  }
  return grid;
}

struct TileMemory {
  Matrix source, codes, scales;
  TileMemory(std::uint32_t dtype, const Shape& shape, const octavo_scale_level& level)
      : source(Matrix::gaussian(dtype, shape.rows, shape.cols)),
        codes(OCTAVO_I8, shape.rows, shape.cols),
        scales(Matrix::filled(scale_shape(level, shape.rows, shape.cols).rows,
                              scale_shape(level, shape.rows, shape.cols).cols, 1e-3f)) {}
  octavo_tile tile(const octavo_grid& grid) const {
    octavo_tile made{};
    made.struct_size = sizeof made;
    made.grid = &grid;
    made.source = source.view();
    made.codes = codes.view();
    made.scales[0] = scales.view();
    made.absmax = 0.2f;
    return made;
  }
};

double count(const Shape& shape) { return static_cast<double>(shape.rows * shape.cols); }

void nearest(benchmark::State& state, std::uint32_t dtype, Shape shape, octavo_scale_level level,
             std::int64_t rotation) {
  const octavo_grid grid = grid_of(shape, level, rotation);
  std::vector<TileMemory> sets;
  for (int i = 0; i < kSets; ++i) sets.emplace_back(dtype, shape, level);
  octavo_tile_result results[kBatch];
  measure(state, kBatch, count(shape), count(shape) * (static_cast<double>(bytes_of(dtype)) + 1.0),
          [&](int i) {
            octavo_error error = empty_error();
            results[i] = {};
            results[i].struct_size = sizeof results[i];
            const octavo_tile tile = sets[static_cast<std::size_t>(i % kSets)].tile(grid);
            check(lane().operations().quantize_nearest(lane().raw(), &tile, &results[i], &error), error);
          });
}

void absmax(benchmark::State& state, Shape shape, std::int64_t rotation) {
  const octavo_grid grid = grid_of(shape, scale_level(OCTAVO_PER_TENSOR), rotation);
  std::vector<Matrix> sets;
  for (int i = 0; i < kSets; ++i) sets.push_back(Matrix::gaussian(OCTAVO_BF16, shape.rows, shape.cols));
  octavo_absmax_result results[kBatch];
  measure(state, kBatch, count(shape), count(shape) * 2.0, [&](int i) {
    octavo_error error = empty_error();
    results[i] = {};
    results[i].struct_size = sizeof results[i];
    const octavo_tensor source = sets[static_cast<std::size_t>(i % kSets)].view();
    check(lane().operations().absmax(lane().raw(), &grid, &source, 0, &results[i], &error), error);
  });
}

void dequantize(benchmark::State& state, Shape shape, std::int64_t rotation) {
  const octavo_scale_level level = scale_level(OCTAVO_PER_ROW);
  const octavo_grid grid = grid_of(shape, level, rotation);
  std::vector<TileMemory> sets;
  std::vector<Matrix> targets;
  for (int i = 0; i < kSets; ++i) {
    sets.emplace_back(OCTAVO_BF16, shape, level);
    targets.emplace_back(OCTAVO_F32, shape.rows, shape.cols);
  }
  measure(state, kBatch, count(shape), count(shape) * 5.0, [&](int i) {
    octavo_error error = empty_error();
    const auto set = static_cast<std::size_t>(i % kSets);
    const octavo_tile tile = sets[set].tile(grid);
    octavo_tensor target = targets[set].view();
    check(lane().operations().dequantize(lane().raw(), &tile, 1, &target, &error), error);
  });
}

void to_basis(benchmark::State& state, Shape shape, std::int64_t rotation) {
  const octavo_grid grid = grid_of(shape, scale_level(OCTAVO_PER_ROW), rotation);
  std::vector<Matrix> sources, targets;
  for (int i = 0; i < kSets; ++i) {
    sources.push_back(Matrix::gaussian(OCTAVO_BF16, shape.rows, shape.cols));
    targets.emplace_back(OCTAVO_F32, shape.rows, shape.cols);
  }
  measure(state, kBatch, count(shape), count(shape) * 6.0, [&](int i) {
    octavo_error error = empty_error();
    const octavo_tensor source = sources[static_cast<std::size_t>(i % kSets)].view();
    octavo_tensor target = targets[static_cast<std::size_t>(i % kSets)].view();
    check(lane().operations().to_basis(lane().raw(), &grid, &source, &target, &error), error);
  });
}

void cast(benchmark::State& state, std::uint32_t from, Shape shape) {
  std::vector<Matrix> sources, targets;
  for (int i = 0; i < kSets; ++i) {
    sources.push_back(Matrix::gaussian(from, shape.rows, shape.cols));
    targets.emplace_back(OCTAVO_F16, shape.rows, shape.cols);
  }
  octavo_cast_result results[kBatch];
  measure(state, kBatch, count(shape), count(shape) * (static_cast<double>(bytes_of(from)) + 2.0),
          [&](int i) {
            octavo_error error = empty_error();
            const octavo_tensor source = sources[static_cast<std::size_t>(i % kSets)].view();
            octavo_tensor target = targets[static_cast<std::size_t>(i % kSets)].view();
            check(lane().operations().cast(lane().raw(), &source, &target, 0, &results[i], &error), error);
          });
}

void merge_low_rank(benchmark::State& state, Shape shape, std::int64_t rank) {
  const Matrix source = Matrix::gaussian(OCTAVO_BF16, shape.rows, shape.cols);
  const Matrix up = Matrix::gaussian(OCTAVO_F32, shape.rows, rank);
  const Matrix down = Matrix::gaussian(OCTAVO_F32, rank, shape.cols);
  const Matrix into(OCTAVO_F32, shape.rows, shape.cols);
  const octavo_tensor from = source.view(), left = up.view(), right = down.view();
  octavo_tensor target = into.view();
  measure(state, 8, count(shape) * static_cast<double>(rank), count(shape) * 6.0, [&](int) {
    octavo_error error = empty_error();
    check(lane().operations().merge_low_rank(lane().raw(), &from, &left, &right, 0.5f, &target, &error),
          error);
  });
}

octavo_matmul product(const octavo_tensor& a, const octavo_tensor& b, bool transpose_b,
                      const octavo_tensor& c, octavo_precision precision, bool accumulate) {
  octavo_matmul made{};
  made.struct_size = sizeof made;
  made.a = a;
  made.b = b;
  made.c = c;
  made.transpose_b = transpose_b ? 1 : 0;
  made.precision = precision;
  made.accumulate = accumulate ? 1 : 0;
  return made;
}

void multiply(const octavo_matmul& matmul) {
  octavo_error error = empty_error();
  check(lane().operations().matmul(lane().raw(), &matmul, &error), error);
}

// Elements are multiply-adds here and below.
void matmul(benchmark::State& state, std::uint32_t dtype, octavo_precision precision, std::int64_t side) {
  const Matrix a = Matrix::gaussian(dtype, side, side), b = Matrix::gaussian(dtype, side, side);
  const Matrix c(OCTAVO_F32, side, side);
  const double sides = static_cast<double>(side);
  measure(state, 4, sides * sides * sides, sides * sides * (2.0 * static_cast<double>(bytes_of(dtype)) + 4.0),
          [&](int) { multiply(product(a.view(), b.view(), true, c.view(), precision, false)); });
}

void gram(benchmark::State& state, std::uint32_t dtype, Shape shape) {
  const Matrix x = Matrix::gaussian(dtype, shape.rows, shape.cols);
  const Matrix h(OCTAVO_F32, shape.cols, shape.cols);
  const double cols = static_cast<double>(shape.cols);
  measure(state, 8, static_cast<double>(shape.rows) * cols * cols / 2.0, cols * cols * 4.0, [&](int) {
    octavo_error error = empty_error();
    const octavo_tensor from = x.view();
    octavo_tensor into = h.view();
    check(lane().operations().gram(lane().raw(), &from, &into, 0, &error), error);
  });
}

void matmul_int8(benchmark::State& state, Shape shape, std::int64_t tokens, std::int64_t rotation) {
  const octavo_grid grid = grid_of(shape, scale_level(OCTAVO_PER_ROW), rotation);
  const TileMemory weight(OCTAVO_BF16, shape, grid.scales[0]);
  const Matrix x = Matrix::gaussian(OCTAVO_BF16, tokens, shape.cols), y(OCTAVO_BF16, tokens, shape.rows);
  octavo_matmul_int8 made{};
  made.struct_size = sizeof made;
  made.compute_dtype = OCTAVO_BF16;
  made.grid = &grid;
  made.x = x.view();
  made.codes = weight.codes.view();
  made.scales = weight.scales.view();
  made.y = y.view();
  measure(state, 8, static_cast<double>(tokens) * count(shape), static_cast<double>(tokens * shape.cols) * 4,
          [&](int) {
            octavo_error error = empty_error();
            check(lane().operations().matmul_int8(lane().raw(), &made, &error), error);
          });
}

// LDLQ of one layer with a factor, in blocks from the right: what the finished columns add to a block (one
// product), then the block's own columns one after the other.
class Ldlq {
 public:
  static constexpr std::int64_t kBlock = 256;

  explicit Ldlq(Shape shape)
      : shape_(shape),
        grid_(grid_of(shape, scale_level(OCTAVO_PER_ROW), 0)),
        source_(Matrix::gaussian(OCTAVO_F32, shape.rows, shape.cols)),
        fed_(OCTAVO_F32, shape.rows, kBlock),
        factor_(Matrix::gaussian(OCTAVO_F32, shape.cols, shape.cols)),
        residual_(Matrix::filled(shape.rows, shape.cols, 0.0f)),
        codes_(OCTAVO_I8, shape.rows, shape.cols),
        scales_(Matrix::filled(shape.rows, 1, 1e-3f)),
        pivots_(Matrix::filled(1, shape.cols, 1.0f)),
        metric_(OCTAVO_F64, shape.rows, 1) {}

  void update(std::int64_t begin, octavo_precision precision) {
    const std::int64_t right = begin + kBlock, rest = shape_.cols - right;
    if (rest == 0) return;
    multiply(product(residual_.part(0, right, shape_.rows, rest), factor_.part(right, begin, rest, kBlock),
                     false, fed_.view(), precision, false));
  }
  void round(std::int64_t begin) {
    octavo_feedback feedback{};
    feedback.struct_size = sizeof feedback;
    feedback.grid = &grid_;
    feedback.col_begin = begin;
    feedback.source = source_.part(0, begin, shape_.rows, kBlock);
    if (begin + kBlock < shape_.cols) feedback.fed = fed_.view();
    feedback.factor = factor_.part(begin, begin, kBlock, kBlock);
    feedback.scales = scales_.view();
    feedback.codes = codes_.part(0, begin, shape_.rows, kBlock);
    feedback.residual = residual_.part(0, begin, shape_.rows, kBlock);
    feedback.pivots = pivots_.part(0, begin, 1, kBlock);
    feedback.metric = metric_.view();
    octavo_error error = empty_error();
    check(lane().operations().round_feedback(lane().raw(), &feedback, &error), error);
  }
  void all(octavo_precision precision) {
    for (std::int64_t begin = shape_.cols - kBlock; begin >= 0; begin -= kBlock) {
      update(begin, precision);
      round(begin);
    }
  }

 private:
  Shape shape_;
  octavo_grid grid_;
  Matrix source_, fed_, factor_, residual_, codes_, scales_, pivots_, metric_;
};

void round_feedback(benchmark::State& state, Shape shape) {
  Ldlq layer(shape);
  const std::int64_t blocks = shape.cols / Ldlq::kBlock;
  measure(state, kBatch, static_cast<double>(shape.rows * Ldlq::kBlock * Ldlq::kBlock) / 2,
          static_cast<double>(shape.rows * Ldlq::kBlock) * 13.0,
          [&](int i) { layer.round(i % blocks * Ldlq::kBlock); });
}

void ldlq(benchmark::State& state, Shape shape, octavo_precision precision) {
  Ldlq layer(shape);
  measure(state, 2, count(shape) * static_cast<double>(shape.cols) / 2, count(shape) * 13.0,
          [&](int) { layer.all(precision); });
}

void ldlq_updates(benchmark::State& state, Shape shape, octavo_precision precision) {
  Ldlq layer(shape);
  measure(state, 2, count(shape) * static_cast<double>(shape.cols) / 2, count(shape) * 8.0, [&](int) {
    for (std::int64_t begin = 0; begin < shape.cols; begin += Ldlq::kBlock) layer.update(begin, precision);
  });
}

template <typename Function, typename... Arguments>
void add(const std::string& name, Function function, Arguments... arguments) {
  benchmark::RegisterBenchmark(name.c_str(), function, arguments...)
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond);
}

void add_nearest() {
  const octavo_scale_level row = scale_level(OCTAVO_PER_ROW);
  for (const Shape shape : {Shape{12288, 3072}, Shape{3072, 12288}, Shape{3072, 15360}, Shape{21504, 3072},
                            Shape{9216, 3072}, Shape{682, 3072}, Shape{3072, 18944}}) {
    const std::string text = fmt::format("/{}x{}", shape.rows, shape.cols);
    add("nearest/row/bf16" + text, nearest, OCTAVO_BF16, shape, row, 0);
    add("nearest/convrot256/bf16" + text, nearest, OCTAVO_BF16, shape, row, 256);
  }
  const Shape usual{12288, 3072};
  add("nearest/row/f16", nearest, OCTAVO_F16, usual, row, 0);
  add("nearest/convrot256/f16", nearest, OCTAVO_F16, usual, row, 256);
  add("nearest/row/f32", nearest, OCTAVO_F32, usual, row, 0);
  add("nearest/convrot256/f32", nearest, OCTAVO_F32, usual, row, 256);
  add("nearest/row/f8_e4m3", nearest, OCTAVO_F8_E4M3, usual, row, 0);
  add("nearest/convrot64/bf16", nearest, OCTAVO_BF16, usual, row, 64);
  add("nearest/tensor/bf16", nearest, OCTAVO_BF16, usual, scale_level(OCTAVO_PER_TENSOR), 0);
  add("nearest/block128/bf16", nearest, OCTAVO_BF16, usual, scale_level(OCTAVO_PER_BLOCK, 128, 128), 0);
}

void add_all() {
  const Shape usual{12288, 3072};
  add_nearest();
  add("absmax/bf16", absmax, usual, 0);
  add("absmax/convrot256/bf16", absmax, usual, 256);
  add("to_basis/convrot256/bf16", to_basis, usual, 256);
  add("dequantize/row", dequantize, usual, 0);
  add("dequantize/convrot256", dequantize, usual, 256);
  add("cast/bf16_to_f16", cast, OCTAVO_BF16, usual);
  add("cast/f32_to_f16", cast, OCTAVO_F32, usual);
  add("merge_low_rank/64", merge_low_rank, usual, 64);
  add("matmul/f32/4096", matmul, OCTAVO_F32, OCTAVO_PRECISION_F32, 4096);
  add("matmul/tf32/4096", matmul, OCTAVO_F32, OCTAVO_PRECISION_TF32, 4096);
  add("matmul/bf16/4096", matmul, OCTAVO_BF16, OCTAVO_PRECISION_BF16, 4096);
  add("gram/bf16/2048x3072", gram, OCTAVO_BF16, Shape{2048, 3072});
  add("gram/bf16/2048x12288", gram, OCTAVO_BF16, Shape{2048, 12288});
  add("matmul_int8/convrot256", matmul_int8, usual, 2048, 256);
  add("round_feedback/12288x256", round_feedback, usual);
  add("round_feedback/3072x256", round_feedback, Shape{3072, 12288});
  add("ldlq/tf32/12288x3072", ldlq, usual, OCTAVO_PRECISION_TF32);
  add("ldlq/bf16/12288x3072", ldlq, usual, OCTAVO_PRECISION_BF16);
  add("ldlq_updates/tf32/12288x3072", ldlq_updates, usual, OCTAVO_PRECISION_TF32);
  add("ldlq/tf32/3072x12288", ldlq, Shape{3072, 12288}, OCTAVO_PRECISION_TF32);
  add("ldlq/tf32/3072x15360", ldlq, Shape{3072, 15360}, OCTAVO_PRECISION_TF32);
}

}  // namespace
}  // namespace octavo::bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  try {
    fmt::print("{}, copy: {:.0f} GB/s read and written\n", octavo::bench::lane().name(),
               octavo::bench::copy_bandwidth() / 1e9);
  } catch (const std::exception& error) {
    fmt::print("skipped: {}\n", error.what());
    return 0;
  }
  octavo::bench::add_all();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
