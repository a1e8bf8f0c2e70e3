#include "launch.hpp"

#include "reports.hpp"
#include "status.hpp"

#include <algorithm>

namespace octavo::cuda {

Residency::Residency(int device) {
  int count = 0;
  check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device), "lane", "multiprocessors");
  multiprocessors_ = static_cast<unsigned>(std::max(count, 1));
  check(cudaDeviceGetAttribute(&count, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), "lane",
        "shared memory");
  shared_limit_ = static_cast<std::size_t>(count);
  check(cudaDeviceGetAttribute(&count, cudaDevAttrComputeCapabilityMajor, device), "lane", "capability");
  is_hopper_or_later_ = count >= 9;
}

bool Residency::has_hopper_code(const void* kernel) {
  if (!is_hopper_or_later_) return false;
  if (const auto found = hopper_code_.find(kernel); found != hopper_code_.end()) return found->second;
  cudaFuncAttributes attributes{};
  check(cudaFuncGetAttributes(&attributes, kernel), "launch", "architecture");
  return hopper_code_[kernel] = attributes.ptxVersion >= 90;
}

unsigned Residency::blocks(const void* kernel, unsigned threads, std::size_t shared_bytes) {
  const auto key = std::make_tuple(kernel, threads, shared_bytes);
  if (const auto found = known_.find(key); found != known_.end()) return found->second;
  constexpr std::size_t kUsualLimit = 48 * 1024;  // of what a kernel declares and what a launch adds
  cudaFuncAttributes attributes{};
  check(cudaFuncGetAttributes(&attributes, kernel), "launch", "shared memory");
  if (attributes.sharedSizeBytes + shared_bytes > kUsualLimit) {
    // The limit belongs to the kernel, for all lanes of the device: never less than another lane may need.
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared_limit_ - attributes.sharedSizeBytes)),
          "launch", "shared memory");
  }
  int resident = 0;
  check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, kernel, static_cast<int>(threads),
                                                      shared_bytes),
        "launch", "occupancy");
  const unsigned per_multiprocessor = static_cast<unsigned>(std::max(resident, 1));
  return known_[key] = std::min(per_multiprocessor * multiprocessors_, kMaxBlocks);
}

Record* Launch::records(unsigned blocks) const {
  return reports != nullptr ? reports->records(blocks, stream) : nullptr;
}

void launch_overlapping(const Launch& launch, const void* kernel, unsigned blocks, unsigned threads,
                        std::size_t shared_bytes, const void* parameter) {
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = {blocks, 1, 1};
  config.blockDim = {threads, 1, 1};
  config.dynamicSmemBytes = shared_bytes;
  config.stream = launch.stream;
  config.attrs = &overlap;
  // Older code does not wait for the launch ahead (reduce.cuh).
  config.numAttrs = launch.residency.has_hopper_code(kernel) ? 1 : 0;
  void* parameters[] = {const_cast<void*>(parameter)};
  check(cudaLaunchKernelExC(&config, kernel, parameters), "launch", "launch");
}

}  // namespace octavo::cuda
