// The CUDA backend's plugin: opens lanes on GPUs.
#include "cublaslt.hpp"
#include "lane.hpp"
#include "operands.hpp"
#include "probe.hpp"
#include "ring.hpp"
#include "status.hpp"

#include <octavo/backend.hpp>
#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <future>
#include <map>
#include <mutex>

namespace octavo::cuda {
namespace {

// The share of a device's memory that its pool keeps instead of giving it back at every synchronization:
// lanes with feedback, or with whole layers, take and give gigabytes all the time.
constexpr std::size_t kPoolShare = 4;

// Creates the device's context, if the process has none yet (0.2 to 0.3 s).
void create_context(int device) {
  check(cudaSetDevice(device), "lane", "device");
  check(cudaFree(nullptr), "lane", "context");
  cudaMemPool_t pool = nullptr;
  check(cudaDeviceGetDefaultMemPool(&pool, device), "lane", "memory pool");
  std::size_t free = 0, all = 0;
  check(cudaMemGetInfo(&free, &all), "lane", "memory");
  std::uint64_t keeps = all / kPoolShare;
  check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keeps), "lane", "memory pool");
}

class CudaBackend final : public Backend {
 public:
  // As many lanes with two slots of 4 MB each as kept PCIe busy in both directions on an H200.
  static constexpr LaneAdvice advice{12, 2};
  static constexpr std::uint32_t operations = (1u << OCTAVO_OP_COUNT) - 1;
  static ProbeResult probe(const Host&) { return probe_devices(); }

  CudaBackend(const Host&, const Params&) {}

  void warm_up(std::int32_t device) override { context_of(device).wait(); }

  // Lanes wait for the device's context; while that comes up, the ring's pages are touched.
  std::unique_ptr<BackendLane> open_lane(const octavo_lane_request& request) override {
    const int device = request.device < 0 ? 0 : request.device;
    const std::shared_future<void> context = context_of(device);
    ring_->map(request.count * request.slots, request.slot_bytes);
    context.get();
    check(cudaSetDevice(device), "lane", "device");
    ring_->pin(device);
    return std::make_unique<CudaLane>(ring_, fault_, device);
  }

  std::string unsupported(octavo_operation operation, const octavo_grid* grid,
                          std::span<const octavo_tensor> operands) const override {
    try {
      check_grid(operation, grid);
      check_operands(operation, operands);
    } catch (const PluginError& error) {
      return error.what();
    }
    return operation == OCTAVO_OP_MATMUL || operation == OCTAVO_OP_MATMUL_INT8 || operation == OCTAVO_OP_GRAM
               ? cublaslt_absence()
               : std::string();
  }

 private:
  // The device's context, which comes up in a thread of its own.
  std::shared_future<void> context_of(std::int32_t index) {
    const int device = index < 0 ? 0 : index;
    const std::lock_guard lock(contexts_mutex_);
    std::shared_future<void>& context = contexts_[device];
    if (!context.valid())
      context = std::async(std::launch::async | std::launch::deferred, create_context, device).share();
    return context;
  }

  static void check_grid(octavo_operation operation, const octavo_grid* grid) {
    constexpr const char* kOperation = "supports";
    if (grid == nullptr) return;
    if (basis_group(*grid, kOperation) > 256 &&
        (operation == OCTAVO_OP_QUANTIZE_NEAREST || operation == OCTAVO_OP_ABSMAX))
      cuda::unsupported(kOperation, "rotations in groups of more than 256 columns");
    const bool uses_codes = operation == OCTAVO_OP_QUANTIZE_NEAREST || operation == OCTAVO_OP_DEQUANTIZE ||
                            operation == OCTAVO_OP_ROUND_FEEDBACK;
    if (!uses_codes || grid->code == OCTAVO_CODE_CAST) return;
    check_codes(*grid, kOperation);
    check_levels(*grid, kOperation);
    if (operation == OCTAVO_OP_ROUND_FEEDBACK &&
        (grid->code == OCTAVO_CODE_INTEGER_ZERO || grid->scale_levels != 1))
      cuda::unsupported(kOperation, "feedback with zero points or two levels of scales");
  }

  // The first operand of an operation on weights is the weight.
  static void check_operands(octavo_operation operation, std::span<const octavo_tensor> operands) {
    for (const octavo_tensor& operand : operands) {
      if (operand.rank > 2) cuda::unsupported("supports", fmt::format("a tensor of rank {}", operand.rank));
    }
    const bool reads_weight = operation == OCTAVO_OP_QUANTIZE_NEAREST || operation == OCTAVO_OP_ABSMAX ||
                              operation == OCTAVO_OP_TO_BASIS || operation == OCTAVO_OP_FROM_BASIS ||
                              operation == OCTAVO_OP_ERROR_SUMS || operation == OCTAVO_OP_CAST ||
                              operation == OCTAVO_OP_MERGE_LOW_RANK;
    if (reads_weight && !operands.empty() && !is_weight_dtype(operands[0].dtype))
      cuda::unsupported("supports", fmt::format("a weight of dtype {}", operands[0].dtype));
  }

  std::mutex contexts_mutex_;
  std::map<int, std::shared_future<void>> contexts_;
  std::shared_ptr<PinnedRing> ring_ = std::make_shared<PinnedRing>();
  std::shared_ptr<Fault> fault_ = std::make_shared<Fault>(asked_fault());
};

}  // namespace
}  // namespace octavo::cuda

OCTAVO_BACKEND_PLUGIN(octavo::cuda::CudaBackend,
                      {.id = "cuda",
                       .version = OCTAVO_PLUGIN_VERSION,
                       .summary = "NVIDIA GPUs, from Turing on: fused kernels, cuBLASLt for products"})
