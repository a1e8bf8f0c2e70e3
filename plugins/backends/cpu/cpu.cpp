// The CPU backend: operations on host memory, one thread per lane. Kernels are in AVX-512 and AVX2, products
// of matrices are oneDNN's; what they do not cover, and every other machine, is done by the host's reference.
#include "algebra.hpp"
#include "convert.hpp"
#include "lane_tools.hpp"
#include "memory.hpp"
#include "nearest.hpp"
#include "products.hpp"
#include "simd.hpp"
#include "support.hpp"

#include <octavo/backend.hpp>

#include <fmt/format.h>

#include <sched.h>

#include <cstdlib>
#include <cstring>
#include <optional>

namespace octavo::cpu {
namespace {

int allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

// The kernels' way first, then the reference's.
class Lane final : public BackendLane {
 public:
  Lane(Simd simd, const octavo_operations& reference) : reference_(reference) {
    if (simd != Simd::scalar)
      tools_.emplace(
          LaneTools{*row_kernels(simd), *value_kernels(simd), *algebra_kernels(simd), reference, {}, {}, {}});
  }

  void* allocate(octavo_memory, std::uint64_t bytes) override { return allocate_aligned(bytes); }
  void release(octavo_memory, void* data) override { std::free(data); }
  void copy(void* target, octavo_memory, const void* source, octavo_memory, std::uint64_t bytes) override {
    std::memcpy(target, source, bytes);
  }

  void quantize_nearest(const octavo_tile& tile, octavo_tile_result& result) override {
    if (tools_ && tile.grid != nullptr && quantize_by_kernels(tile, result)) return;
    refer([&](octavo_error* e) { return reference_.quantize_nearest(nullptr, &tile, &result, e); });
  }
  void absmax(const octavo_grid* grid, const octavo_tensor& source, std::uint32_t flags,
              octavo_absmax_result& result) override {
    if (tools_ && find_absmax(*tools_, grid, source, result)) return;
    refer([&](octavo_error* e) { return reference_.absmax(nullptr, grid, &source, flags, &result, e); });
  }
  void to_basis(const octavo_grid& grid, const octavo_tensor& source, octavo_tensor& target) override {
    if (tools_ && change_basis(*tools_, grid, source, target)) return;
    refer([&](octavo_error* e) { return reference_.to_basis(nullptr, &grid, &source, &target, e); });
  }
  void from_basis(const octavo_grid& grid, const octavo_tensor& source, octavo_tensor& target) override {
    if (tools_ && change_basis(*tools_, grid, source, target)) return;
    refer([&](octavo_error* e) { return reference_.from_basis(nullptr, &grid, &source, &target, e); });
  }
  void dequantize(const octavo_tile& tile, bool plain, octavo_tensor& target) override {
    if (tools_ && tile.grid != nullptr && dequantize_tile(*tools_, tile, plain, target)) return;
    refer([&](octavo_error* e) { return reference_.dequantize(nullptr, &tile, plain ? 1 : 0, &target, e); });
  }
  void round_feedback(const octavo_feedback& feedback) override {
    if (tools_ && round_with_feedback(*tools_, feedback)) return;
    refer([&](octavo_error* e) { return reference_.round_feedback(nullptr, &feedback, e); });
  }
  void matmul(const octavo_matmul& matmul) override {
    if (tools_ && multiply(*tools_, matmul)) return;
    refer([&](octavo_error* e) { return reference_.matmul(nullptr, &matmul, e); });
  }
  void matmul_int8(const octavo_matmul_int8& matmul) override {
    if (tools_ && multiply_int8(*tools_, matmul)) return;
    refer([&](octavo_error* e) { return reference_.matmul_int8(nullptr, &matmul, e); });
  }
  void gram(const octavo_tensor& x, octavo_tensor& h, bool accumulate) override {
    if (tools_ && add_gram(*tools_, x, h, accumulate)) return;
    refer([&](octavo_error* e) { return reference_.gram(nullptr, &x, &h, accumulate ? 1 : 0, e); });
  }
  void error_sums(const octavo_tensor& a, const octavo_tensor& b, octavo_error_sums& sums) override {
    if (tools_ && sum_differences(*tools_, a, b, sums)) return;
    refer([&](octavo_error* e) { return reference_.error_sums(nullptr, &a, &b, &sums, e); });
  }
  void cast(const octavo_tensor& source, octavo_tensor& target, std::uint32_t flags,
            octavo_cast_result& result) override {
    if (tools_ && cast_values(*tools_, source, target, flags, result)) return;
    refer([&](octavo_error* e) { return reference_.cast(nullptr, &source, &target, flags, &result, e); });
  }
  void merge_low_rank(const octavo_tensor& source, const octavo_tensor& up, const octavo_tensor& down,
                      float strength, octavo_tensor& target) override {
    if (tools_ && cpu::merge_low_rank(*tools_, source, up, down, strength, target)) return;
    refer([&](octavo_error* e) {
      return reference_.merge_low_rank(nullptr, &source, &up, &down, strength, &target, e);
    });
  }
  void row_metric(const octavo_tensor& x, const octavo_tensor& pivots, octavo_tensor& metric) override {
    refer([&](octavo_error* e) { return reference_.row_metric(nullptr, &x, &pivots, &metric, e); });
  }

 private:
  bool quantize_by_kernels(const octavo_tile& tile, octavo_tile_result& result) {
    if (tile.grid->code == OCTAVO_CODE_CAST) return cast_tile(*tools_, tile, result);
    return nearest_refusal(*tile.grid, tile.source.dtype).empty() && quantize_tile(*tools_, tile, result);
  }

  template <typename Operation>
  static void refer(Operation operation) {
    octavo_error error = empty_error();
    check(operation(&error), error);
  }

  const octavo_operations& reference_;
  std::optional<LaneTools> tools_;  // none: the reference does everything
};

class Cpu final : public Backend {
 public:
  static constexpr LaneAdvice advice{0, 1};
  static constexpr std::uint32_t operations = (1u << OCTAVO_OP_COUNT) - 1;

  Cpu(const Host& host, const Params&) : host_(host), simd_(pick_simd()) {}

  static ProbeResult probe(const Host&) {
    return {100, fmt::format("{}, {} CPUs", simd_title(pick_simd()), allowed_cpus()), {}};
  }

  std::unique_ptr<BackendLane> open_lane(const octavo_lane_request&) override {
    return std::make_unique<Lane>(simd_, host_.reference());
  }

  std::string unsupported(octavo_operation operation, const octavo_grid* grid,
                          std::span<const octavo_tensor> operands) const override {
    return refusal(operation, grid, operands);
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
