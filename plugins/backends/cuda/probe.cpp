#include "probe.hpp"

#include "architectures.hpp"

#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <utility>
#include <vector>

namespace octavo::cuda {
namespace {

constexpr std::uint32_t kScore = 500;

ProbeResult unusable(std::string reason) { return {0, std::move(reason), {}, false}; }
ProbeResult absent(std::string reason) { return {0, std::move(reason), {}, true}; }

// What the answer `code` of the CUDA run time to the question for devices means.
ProbeResult without_devices(cudaError_t code) {
  switch (code) {
    case cudaErrorInsufficientDriver: {
      int driver = 0;
      if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
        return absent("no NVIDIA driver is installed (libcuda.so.1 was not found)");
      return unusable(fmt::format("the NVIDIA driver speaks CUDA {}.{}; CUDA {} is needed", driver / 1000,
                                  driver % 1000 / 10, CUDART_VERSION / 1000));
    }
    case cudaErrorNoDevice:
      return absent("the NVIDIA driver finds no GPU");
    default:
      return unusable(fmt::format("the NVIDIA driver does not start: {}", cudaGetErrorString(code)));
  }
}

std::string versions() {
  int driver = 0, run_time = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || cudaRuntimeGetVersion(&run_time) != cudaSuccess)
    return "versions unknown";
  return fmt::format("driver for CUDA {}.{}, run time {}.{}", driver / 1000, driver % 1000 / 10,
                     run_time / 1000, run_time % 1000 / 10);
}

}  // namespace

bool runs_on(std::span<const int> compiled, int major, int minor) {
  if (!compiled.empty() && major * 10 + minor > compiled.back()) return true;
  for (const int architecture : compiled) {
    if (architecture / 10 == major && architecture % 10 <= minor) return true;
  }
  return false;
}

ProbeResult probe_devices() {
  int count = 0;
  if (const cudaError_t code = cudaGetDeviceCount(&count); code != cudaSuccess) {
    cudaGetLastError();
    return without_devices(code);
  }
  const std::span<const int> compiled = compiled_architectures();
  ProbeResult result;
  std::vector<std::string> described;
  std::string refused;
  for (int index = 0; index < count; ++index) {
    cudaDeviceProp properties{};
    if (cudaGetDeviceProperties(&properties, index) != cudaSuccess) continue;
    if (!runs_on(compiled, properties.major, properties.minor)) {
      refused += fmt::format("; {} has compute capability {}.{}, this build has code for {}", properties.name,
                             properties.major, properties.minor, fmt::join(compiled, ", "));
      continue;
    }
    octavo_device device{};
    device.struct_size = sizeof device;
    device.index = index;
    copy_text(properties.name, device.name);
    device.memory_bytes = properties.totalGlobalMem;
    result.devices.push_back(device);
    described.push_back(fmt::format("{} ({}.{}, {} GiB)", properties.name, properties.major, properties.minor,
                                    properties.totalGlobalMem >> 30));
  }
  if (result.devices.empty()) {
    result.reason = "no usable GPU" + refused;
    return result;
  }
  result.score = kScore;
  result.reason =
      fmt::format("{} GPU{}: {}; {}{}", result.devices.size(), result.devices.size() == 1 ? "" : "s",
                  fmt::join(described, ", "), versions(), refused);
  return result;
}

}  // namespace octavo::cuda
