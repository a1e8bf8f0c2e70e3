// The CPU backend: operations on host memory, one thread per lane. Kernels are in AVX-512 and AVX2; what they
// do not cover, and every other machine, is done by the host's reference.
#include "memory.hpp"
#include "nearest.hpp"
#include "row_kernels.hpp"
#include "simd.hpp"

#include <octavo/backend.hpp>

#include <fmt/format.h>

#include <sched.h>

#include <cstdlib>
#include <cstring>

namespace octavo::cpu {
namespace {

int allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

class Lane final : public BackendLane {
 public:
  Lane(Simd simd, const octavo_operations& reference) : rows_(row_kernels(simd)), reference_(reference) {}

  void* allocate(octavo_memory, std::uint64_t bytes) override { return allocate_aligned(bytes); }
  void release(octavo_memory, void* data) override { std::free(data); }
  void copy(void* target, octavo_memory, const void* source, octavo_memory, std::uint64_t bytes) override {
    std::memcpy(target, source, bytes);
  }

  void quantize_nearest(const octavo_tile& tile, octavo_tile_result& result) override {
    if (rows_ != nullptr && tile.grid != nullptr && nearest_refusal(*tile.grid, tile.source.dtype).empty() &&
        quantize_tile(tools(), tile, result))
      return;
    octavo_error error = empty_error();
    check(reference_.quantize_nearest(nullptr, &tile, &result, &error), error);
  }

  void absmax(const octavo_grid* grid, const octavo_tensor& source, std::uint32_t flags,
              octavo_absmax_result& result) override {
    if (rows_ != nullptr && find_absmax(tools(), grid, source, result)) return;
    octavo_error error = empty_error();
    check(reference_.absmax(nullptr, grid, &source, flags, &result, &error), error);
  }

 private:
  NearestTools tools() { return {*rows_, decoded_, rotated_, reference_}; }

  const RowKernels* rows_;  // nullptr: the reference does everything
  const octavo_operations& reference_;
  Scratch decoded_;
  Scratch rotated_;
};

class Cpu final : public Backend {
 public:
  static constexpr LaneAdvice advice{0, 1};
  static constexpr std::uint32_t operations = 1u << OCTAVO_OP_QUANTIZE_NEAREST | 1u << OCTAVO_OP_ABSMAX;

  Cpu(const Host& host, const Params&) : host_(host), simd_(pick_simd()) {}

  static ProbeResult probe(const Host&) {
    return {100, fmt::format("{}, {} CPUs", simd_title(pick_simd()), allowed_cpus()), {}};
  }

  std::unique_ptr<BackendLane> open_lane(const octavo_lane_request&) override {
    return std::make_unique<Lane>(simd_, host_.reference());
  }

  std::string unsupported(octavo_operation, const octavo_grid*,
                          std::span<const octavo_tensor>) const override {
    return {};
  }

 private:
  Host host_;
  Simd simd_;
};

}  // namespace
}  // namespace octavo::cpu

OCTAVO_BACKEND_PLUGIN(octavo::cpu::Cpu,
                      {.id = "cpu",
                       .version = OCTAVO_PLUGIN_VERSION,
                       .summary = "Processor: AVX-512 and AVX2 kernels, oneDNN for products"})
