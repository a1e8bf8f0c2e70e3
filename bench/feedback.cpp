// Rounding with feedback of whole layers with a factor that is there already, on lanes of the CPU backend,
// with the metric of every row, as a run has it. GFLOP/s counts rows x cols^2: a multiplication and an
// addition for every element of the triangle. Beside it the plain matrix product of the same operations.
#include "feedback/lane_steps.hpp"
#include "feedback/ldlq.hpp"
#include "plugin/backend.hpp"
#include "plugin/catalog.hpp"
#include "plugin/host_services.hpp"
#include "reference/operations.hpp"

#include <octavo/grid.hpp>
#include <octavo/lane.hpp>

#include <benchmark/benchmark.h>

#include <atomic>
#include <cmath>
#include <random>
#include <thread>
#include <vector>

namespace {

using namespace octavo;

struct Machine {
  Machine()
      : services(reference::operations()),
        catalog(place()),
        backend(catalog.open(OCTAVO_KIND_BACKEND, "cpu"), services.host(), {}) {}
  static plugin::SearchPath place() {
    plugin::SearchPath path;
    path.roots.push_back({OCTAVO_BENCH_CPU_BACKEND, true});
    return path;
  }
  plugin::Lane lane(std::uint32_t index) {
    octavo_lane_request request{};
    request.struct_size = sizeof request;
    request.index = index;
    request.count = 64;
    request.slots = 1;
    request.device = -1;
    return backend.open_lane(request);
  }
  plugin::HostServices services;
  plugin::Catalog catalog;
  plugin::Backend backend;
};

std::vector<float> gaussian(std::int64_t count, float deviation) {
  std::mt19937 engine(1);
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = normal(engine);
  return values;
}

// A unit lower triangle whose feedback stays near one step, as those of real inputs.
std::vector<float> triangle(std::int64_t cols) {
  std::vector<float> values = gaussian(cols * cols, 0.5f / std::sqrt(static_cast<float>(cols)));
  for (std::int64_t i = 0; i < cols; ++i) {
    values[static_cast<std::size_t>(i * cols + i)] = 1.0f;
    std::fill_n(values.begin() + i * cols + i + 1, cols - i - 1, 0.0f);
  }
  return values;
}

constexpr std::int64_t kTile = 512;  // rows, about what a run cuts

// Calls work(lane, first row, rows) for all tiles on `threads` lanes.
template <typename Work>
void on_lanes(Machine& machine, std::int64_t rows, std::int64_t threads, Work work) {
  std::atomic<std::int64_t> next{0};
  std::vector<std::thread> workers;
  for (std::int64_t i = 0; i < threads; ++i) {
    workers.emplace_back([&, i] {
      plugin::Lane lane = machine.lane(static_cast<std::uint32_t>(i));
      for (std::int64_t row = kTile * next++; row < rows; row = kTile * next++)
        work(lane.raw(), row, std::min(kTile, rows - row));
    });
  }
  for (std::thread& worker : workers) worker.join();
}

void set_rate(benchmark::State& state, double operations) {
  state.counters["GFLOP/s"] =
      benchmark::Counter(operations * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

void BM_feedback(benchmark::State& state) {
  const std::int64_t rows = state.range(0), cols = state.range(1), threads = state.range(2);
  Machine machine;
  octavo_layer layer{};
  layer.rows = rows;
  layer.cols = cols;
  const octavo_grid grid = int8_grid(layer, scale_level(OCTAVO_PER_ROW));
  std::vector<float> weight = gaussian(rows * cols, 1.0f), residual(weight.size()), lower = triangle(cols);
  const std::vector<float> pivots(static_cast<std::size_t>(cols), 1.0f);
  std::vector<float> scales(static_cast<std::size_t>(rows), 4.0f / 127);
  std::vector<std::int8_t> codes(weight.size());
  const octavo_tensor weights = tensor_view(weight.data(), OCTAVO_F32, {rows, cols});
  const octavo_tensor left = tensor_view(residual.data(), OCTAVO_F32, {rows, cols});
  const octavo_tensor stored = tensor_view(codes.data(), OCTAVO_I8, {rows, cols});
  const octavo_tensor scale = tensor_view(scales.data(), OCTAVO_F32, {rows, 1});
  const feedback::Triangle factor{tensor_view(lower.data(), OCTAVO_F32, {cols, cols}), pivots};
  for (auto _ : state) {
    on_lanes(machine, rows, threads, [&](octavo_lane& lane, std::int64_t row, std::int64_t count) {
      feedback::round_with_feedback(lane,
                                    {grid, rows_of(weights, row, count), rows_of(scale, row, count),
                                     rows_of(stored, row, count), rows_of(left, row, count)},
                                    factor, state.range(3));
    });
  }
  set_rate(state, static_cast<double>(rows) * static_cast<double>(cols) * static_cast<double>(cols));
}

void BM_product(benchmark::State& state) {
  const std::int64_t rows = state.range(0), cols = state.range(1), threads = state.range(2);
  Machine machine;
  std::vector<float> a = gaussian(rows * cols, 1.0f), b = gaussian(cols * cols, 1.0f), c(a.size());
  const octavo_tensor left = tensor_view(a.data(), OCTAVO_F32, {rows, cols});
  const octavo_tensor right = tensor_view(b.data(), OCTAVO_F32, {cols, cols});
  const octavo_tensor target = tensor_view(c.data(), OCTAVO_F32, {rows, cols});
  for (auto _ : state) {
    on_lanes(machine, rows, threads, [&](octavo_lane& lane, std::int64_t row, std::int64_t count) {
      feedback::multiply(lane, rows_of(left, row, count), right, rows_of(target, row, count));
    });
  }
  set_rate(state, 2.0 * static_cast<double>(rows) * static_cast<double>(cols) * static_cast<double>(cols));
}

void shapes(benchmark::internal::Benchmark* benchmark) {
  const auto threads = static_cast<std::int64_t>(std::thread::hardware_concurrency());
  for (const std::int64_t block : {64, 128, 256}) benchmark->Args({3072, 3072, threads, block});
  benchmark->Args({3072, 3072, 1, 128})->Args({3072, 12288, threads, 128});
  benchmark->MeasureProcessCPUTime()
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond)
      ->ArgNames({"rows", "cols", "threads", "block"});
}

BENCHMARK(BM_feedback)->Apply(shapes);
BENCHMARK(BM_product)
    ->Args({3072, 3072, static_cast<std::int64_t>(std::thread::hardware_concurrency())})
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->ArgNames({"rows", "cols", "threads"});

}  // namespace

BENCHMARK_MAIN();
