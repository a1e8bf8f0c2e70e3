// The CPU backend's operations on a layer that does not fit the caches, with two threads (lanes) that share
// its rows. `of_copy` is the share of the bandwidth that memcpy had in the same run with the same threads,
// counting bytes read and written once; several figures above 1 mean that the layer came from a cache.
//
//   octavo_kernels [Google Benchmark's options]
#include "plugin_lane.hpp"

#include <octavo/grid.hpp>

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <time.h>

#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr std::int64_t kRows = 12288;
constexpr std::int64_t kCols = 3072;
constexpr int kThreads = 2;

using octavo::bench::host;

const octavo_plugin& cpu_plugin() {
  static const octavo_plugin& plugin = octavo::bench::open_plugin(OCTAVO_BENCH_CPU_BACKEND);
  return plugin;
}

// A lane of the CPU backend and memory of it.
class Lane {
 public:
  Lane() : api_(*static_cast<const octavo_backend_api*>(cpu_plugin().api)) {
    octavo_error error = octavo::empty_error();
    octavo::check(api_.create(&host(), nullptr, 0, &self_, &error), error);
    octavo_lane_request request{};
    request.struct_size = sizeof request;
    request.count = 1;
    lane_.struct_size = sizeof lane_;
    lane_.host = &host();
    octavo::check(api_.open_lane(self_, &request, &lane_, &error), error);
  }
  ~Lane() {
    for (void* block : blocks_) api_.release(&lane_, OCTAVO_MEMORY_HOST, block);
    api_.close_lane(self_, &lane_);
    api_.destroy(self_);
  }
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  octavo_tensor matrix(std::uint32_t dtype, std::int64_t rows, std::int64_t cols) {
    octavo_error error = octavo::empty_error();
    const std::uint64_t bytes = static_cast<std::uint64_t>(rows * cols) * octavo::bytes_of(dtype);
    void* data = nullptr;
    octavo::check(api_.allocate(&lane_, OCTAVO_MEMORY_HOST, bytes, &data, &error), error);
    blocks_.push_back(data);
    std::memset(data, 0, bytes);
    return octavo::tensor_view(data, dtype, {rows, cols});
  }

  octavo_tensor weights(std::uint32_t dtype, std::int64_t rows, std::int64_t cols) {
    const octavo_tensor made = matrix(dtype, rows, cols);
    const std::vector<std::byte> values = octavo::bench::gaussian_rows(dtype, rows, cols);
    std::memcpy(made.data, values.data(), values.size());
    return made;
  }

  octavo_lane* raw() { return &lane_; }
  const octavo_operations& operations() const { return *lane_.operations; }

 private:
  const octavo_backend_api& api_;
  void* self_ = nullptr;
  octavo_lane lane_{};
  std::vector<void*> blocks_;
};

// Bytes read and written in a second by kThreads memcpy, the best of some; measured once.
double copy_bandwidth() {
  static const double measured = [] {
    constexpr std::size_t kBytes = std::size_t{96} << 20;
    Lane lane;
    std::vector<octavo_tensor> from, to;
    for (int i = 0; i < kThreads; ++i) {
      from.push_back(lane.matrix(OCTAVO_U8, 1, kBytes));
      to.push_back(lane.matrix(OCTAVO_U8, 1, kBytes));
    }
    double best = 0.0;
    for (int trial = 0; trial < 7; ++trial) {
      const auto start = std::chrono::steady_clock::now();
      std::vector<std::thread> threads;
      for (std::size_t i = 0; i < kThreads; ++i)
        threads.emplace_back([&, i] { std::memcpy(to[i].data, from[i].data, kBytes); });
      for (std::thread& thread : threads) thread.join();
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
      best = std::max(best, 2.0 * kThreads * static_cast<double>(kBytes) / seconds.count());
    }
    return best;
  }();
  return measured;
}

double seconds_of(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Runs the benchmark's loop in this thread; an iteration handles `elements` and reads and writes `bytes`.
// Counters of the threads are added up, so each thread gives its own rates.
template <typename Body>
void measure(benchmark::State& state, double elements, double bytes, Body body) {
  const double share = bytes / copy_bandwidth();
  body();
  const double clock = seconds_of(CLOCK_MONOTONIC), cpu = seconds_of(CLOCK_THREAD_CPUTIME_ID);
  for (auto _ : state) body();
  const double iterations = static_cast<double>(state.iterations());
  const double by_clock = iterations / (seconds_of(CLOCK_MONOTONIC) - clock);
  state.counters["elements"] = elements * by_clock;
  state.counters["by_cpu"] = elements * iterations / (seconds_of(CLOCK_THREAD_CPUTIME_ID) - cpu);
  state.counters["of_copy"] = share * by_clock;
}

constexpr double kElements = static_cast<double>(kRows / kThreads * kCols);

struct Tile {
  octavo_grid grid{};
  octavo_tensor source{}, codes{}, scales{};

  Tile(Lane& lane, std::uint32_t dtype, const octavo_scale_level& level, std::int64_t rotation) {
    octavo_layer layer{};
    layer.rows = kRows / kThreads;
    layer.cols = kCols;
    grid = octavo::int8_grid(layer, level);
    if (rotation != 0) {
      grid.basis = OCTAVO_BASIS_CONVROT;
      grid.basis_group = rotation;
    }
    source = lane.weights(dtype, layer.rows, layer.cols);
    codes = lane.matrix(OCTAVO_I8, layer.rows, layer.cols);
    const octavo::ScaleShape shape = octavo::scale_shape(level, layer.rows, layer.cols);
    scales = lane.matrix(OCTAVO_F32, shape.rows, shape.cols);
  }

  octavo_tile view() const {
    octavo_tile tile{};
    tile.struct_size = sizeof tile;
    tile.grid = &grid;
    tile.source = source;
    tile.codes = codes;
    tile.scales[0] = scales;
    tile.absmax = 0.2f;
    return tile;
  }
};

void nearest(benchmark::State& state, std::uint32_t dtype, octavo_scale_level level, std::int64_t rotation) {
  Lane lane;
  const Tile tile(lane, dtype, level, rotation);
  const octavo_tile view = tile.view();
  octavo_tile_result result{};
  result.struct_size = sizeof result;
  octavo_error error = octavo::empty_error();
  measure(state, kElements, kElements * (static_cast<double>(octavo::bytes_of(dtype)) + 1.0), [&] {
    octavo::check(lane.operations().quantize_nearest(lane.raw(), &view, &result, &error), error);
  });
}

void copy(benchmark::State& state) {
  Lane lane;
  const octavo_tensor from = lane.weights(OCTAVO_BF16, kRows / kThreads, kCols);
  const octavo_tensor to = lane.matrix(OCTAVO_BF16, kRows / kThreads, kCols);
  const std::size_t bytes = static_cast<std::size_t>(kRows / kThreads * kCols) * 2;
  measure(state, kElements, 4.0 * kElements, [&] {
    std::memcpy(to.data, from.data, bytes);
    benchmark::ClobberMemory();
  });
}

void absmax(benchmark::State& state, std::uint32_t dtype) {
  Lane lane;
  const octavo_tensor source = lane.weights(dtype, kRows / kThreads, kCols);
  octavo_absmax_result result{};
  result.struct_size = sizeof result;
  octavo_error error = octavo::empty_error();
  measure(state, kElements, kElements * static_cast<double>(octavo::bytes_of(dtype)), [&] {
    octavo::check(lane.operations().absmax(lane.raw(), nullptr, &source, 0, &result, &error), error);
  });
}

void dequantize(benchmark::State& state, std::int64_t rotation) {
  Lane lane;
  const Tile tile(lane, OCTAVO_BF16, octavo::scale_level(OCTAVO_PER_ROW), rotation);
  const octavo_tile view = tile.view();
  octavo_tensor target = lane.matrix(OCTAVO_F32, kRows / kThreads, kCols);
  octavo_error error = octavo::empty_error();
  measure(state, kElements, kElements * 5.0,
          [&] { octavo::check(lane.operations().dequantize(lane.raw(), &view, 1, &target, &error), error); });
}

void from_basis(benchmark::State& state) {
  Lane lane;
  const Tile tile(lane, OCTAVO_F32, octavo::scale_level(OCTAVO_PER_ROW), 256);
  octavo_tensor target = lane.matrix(OCTAVO_F32, kRows / kThreads, kCols);
  octavo_error error = octavo::empty_error();
  measure(state, kElements, kElements * 8.0, [&] {
    octavo::check(lane.operations().from_basis(lane.raw(), &tile.grid, &tile.source, &target, &error), error);
  });
}

void cast(benchmark::State& state, std::uint32_t dtype) {
  Lane lane;
  const octavo_tensor source = lane.weights(dtype, kRows / kThreads, kCols);
  octavo_tensor target = lane.matrix(OCTAVO_F16, kRows / kThreads, kCols);
  octavo_cast_result result{};
  octavo_error error = octavo::empty_error();
  measure(state, kElements, kElements * (static_cast<double>(octavo::bytes_of(dtype)) + 2.0), [&] {
    octavo::check(lane.operations().cast(lane.raw(), &source, &target, 0, &result, &error), error);
  });
}

void error_sums(benchmark::State& state) {
  Lane lane;
  const octavo_tensor a = lane.weights(OCTAVO_BF16, kRows / kThreads, kCols);
  const octavo_tensor b = lane.weights(OCTAVO_F32, kRows / kThreads, kCols);
  octavo_error_sums sums{};
  octavo_error error = octavo::empty_error();
  measure(state, kElements, kElements * 6.0,
          [&] { octavo::check(lane.operations().error_sums(lane.raw(), &a, &b, &sums, &error), error); });
}

// Elements are multiply-adds here and below.
void merge_low_rank(benchmark::State& state) {
  Lane lane;
  constexpr std::int64_t kRank = 64;
  const octavo_tensor source = lane.weights(OCTAVO_BF16, kRows / kThreads, kCols);
  const octavo_tensor up = lane.weights(OCTAVO_F32, kRows / kThreads, kRank);
  const octavo_tensor down = lane.weights(OCTAVO_F32, kRank, kCols);
  octavo_tensor target = lane.matrix(OCTAVO_F32, kRows / kThreads, kCols);
  octavo_error error = octavo::empty_error();
  measure(state, kElements * kRank, kElements * 6.0, [&] {
    octavo::check(lane.operations().merge_low_rank(lane.raw(), &source, &up, &down, 0.5f, &target, &error),
                  error);
  });
}

void round_feedback(benchmark::State& state) {
  Lane lane;
  constexpr std::int64_t kBlock = 128, kBlockRows = 4096;
  octavo_layer layer{};
  layer.rows = kBlockRows;
  layer.cols = kBlock;
  const octavo_grid grid = octavo::int8_grid(layer, octavo::scale_level(OCTAVO_PER_ROW));
  octavo_feedback feedback{};
  feedback.struct_size = sizeof feedback;
  feedback.grid = &grid;
  feedback.source = lane.weights(OCTAVO_F32, kBlockRows, kBlock);
  feedback.factor = lane.weights(OCTAVO_F32, kBlock, kBlock);
  feedback.scales = lane.matrix(OCTAVO_F32, kBlockRows, 1);
  for (std::int64_t r = 0; r < kBlockRows; ++r) *octavo::row_of<float>(feedback.scales, r) = 1e-3f;
  feedback.codes = lane.matrix(OCTAVO_I8, kBlockRows, kBlock);
  feedback.residual = lane.matrix(OCTAVO_F32, kBlockRows, kBlock);
  octavo_error error = octavo::empty_error();
  measure(state, double{kBlockRows} * kBlock * kBlock / 2, double{kBlockRows} * kBlock * 13,
          [&] { octavo::check(lane.operations().round_feedback(lane.raw(), &feedback, &error), error); });
}

void matmul(benchmark::State& state, std::uint32_t dtype) {
  Lane lane;
  constexpr std::int64_t kSide = 2048;
  octavo_matmul product{};
  product.struct_size = sizeof product;
  product.transpose_b = 1;
  product.a = lane.weights(dtype, kSide, kSide);
  product.b = lane.weights(dtype, kSide, kSide);
  product.c = lane.matrix(OCTAVO_F32, kSide, kSide);
  octavo_error error = octavo::empty_error();
  measure(state, double{kSide} * kSide * kSide, double{kSide} * kSide * 8,
          [&] { octavo::check(lane.operations().matmul(lane.raw(), &product, &error), error); });
}

void matmul_int8(benchmark::State& state, std::int64_t rotation) {
  Lane lane;
  constexpr std::int64_t kTokens = 1024, kOut = 3072;
  octavo_layer layer{};
  layer.rows = kOut;
  layer.cols = kCols;
  octavo_grid grid = octavo::int8_grid(layer, octavo::scale_level(OCTAVO_PER_ROW));
  if (rotation != 0) {
    grid.basis = OCTAVO_BASIS_CONVROT;
    grid.basis_group = rotation;
  }
  octavo_matmul_int8 product{};
  product.struct_size = sizeof product;
  product.compute_dtype = OCTAVO_BF16;
  product.grid = &grid;
  product.x = lane.weights(OCTAVO_BF16, kTokens, kCols);
  product.codes = lane.matrix(OCTAVO_I8, kOut, kCols);
  product.scales = lane.matrix(OCTAVO_F32, kOut, 1);
  product.y = lane.matrix(OCTAVO_BF16, kTokens, kOut);
  octavo_error error = octavo::empty_error();
  measure(state, double{kTokens} * kOut * kCols, double{kTokens} * kCols * 4,
          [&] { octavo::check(lane.operations().matmul_int8(lane.raw(), &product, &error), error); });
}

void gram(benchmark::State& state, std::uint32_t dtype) {
  Lane lane;
  constexpr std::int64_t kSamples = 1024;
  const octavo_tensor x = lane.weights(dtype, kSamples, kCols);
  octavo_tensor h = lane.matrix(OCTAVO_F32, kCols, kCols);
  octavo_error error = octavo::empty_error();
  measure(state, double{kSamples} * kCols * kCols / 2, double{kCols} * kCols * 4,
          [&] { octavo::check(lane.operations().gram(lane.raw(), &x, &h, 0, &error), error); });
}

template <typename Function, typename... Arguments>
void add(const std::string& name, Function function, Arguments... arguments) {
  benchmark::RegisterBenchmark(name.c_str(), function, arguments...)
      ->Threads(kThreads)
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
}

struct NamedDtype {
  const char* name;
  std::uint32_t dtype;
};

void add_nearest() {
  constexpr NamedDtype kDtypes[] = {{"bf16", OCTAVO_BF16},
                                    {"f16", OCTAVO_F16},
                                    {"f32", OCTAVO_F32},
                                    {"f8_e4m3", OCTAVO_F8_E4M3},
                                    {"f64", OCTAVO_F64}};
  for (const NamedDtype& source : kDtypes) {
    const std::string dtype = source.name;
    add("nearest/row/" + dtype, nearest, source.dtype, octavo::scale_level(OCTAVO_PER_ROW), 0);
    add("nearest/convrot256/" + dtype, nearest, source.dtype, octavo::scale_level(OCTAVO_PER_ROW), 256);
  }
  add("nearest/tensor/bf16", nearest, OCTAVO_BF16, octavo::scale_level(OCTAVO_PER_TENSOR), 0);
  add("nearest/block128/bf16", nearest, OCTAVO_BF16, octavo::scale_level(OCTAVO_PER_BLOCK, 128, 128), 0);
  add("nearest/convrot64/bf16", nearest, OCTAVO_BF16, octavo::scale_level(OCTAVO_PER_ROW), 64);
  add("nearest/convrot16/bf16", nearest, OCTAVO_BF16, octavo::scale_level(OCTAVO_PER_ROW), 16);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  fmt::print("copy: {:.1f} GB/s read and written by {} threads\n", copy_bandwidth() / 1e9, kThreads);
  add("copy", copy);
  add_nearest();
  add("absmax/bf16", absmax, OCTAVO_BF16);
  add("dequantize/row", dequantize, 0);
  add("dequantize/convrot256", dequantize, 256);
  add("from_basis/convrot256", from_basis);
  add("cast/f32_to_f16", cast, OCTAVO_F32);
  add("cast/bf16_to_f16", cast, OCTAVO_BF16);
  add("error_sums/bf16_f32", error_sums);
  add("merge_low_rank/64", merge_low_rank);
  add("round_feedback/128", round_feedback);
  add("matmul/f32", matmul, OCTAVO_F32);
  add("matmul/bf16", matmul, OCTAVO_BF16);
  add("matmul_int8/row", matmul_int8, 0);
  add("matmul_int8/convrot256", matmul_int8, 256);
  add("gram/f32", gram, OCTAVO_F32);
  add("gram/bf16", gram, OCTAVO_BF16);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
