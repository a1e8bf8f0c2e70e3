#include "status.hpp"

#include <octavo/plugin.hpp>

#include <fmt/format.h>

namespace octavo::cuda {
namespace {

octavo_status status_of(cudaError_t code) {
  switch (code) {
    case cudaErrorMemoryAllocation:
    case cudaErrorMemoryValueTooLarge:
      return OCTAVO_NO_MEMORY;
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorUnsupportedPtxVersion:
    case cudaErrorJitCompilerNotFound:
      return OCTAVO_UNSUPPORTED;
    // Sticky: every later call in this process would answer the same.
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorExternalDevice:
    case cudaErrorContained:
    case cudaErrorDevicesUnavailable:
    case cudaErrorDeviceUninitialized:
    case cudaErrorContextIsDestroyed:
    case cudaErrorCudartUnloading:
    case cudaErrorUnknown:
      return OCTAVO_DEVICE_LOST;
    default:
      return OCTAVO_FAILED;
  }
}

const char* hint_of(octavo_status status) {
  switch (status) {
    case OCTAVO_NO_MEMORY:
      return "close other programs that use the GPU, use fewer lanes, or --device cpu";
    case OCTAVO_DEVICE_LOST:
      return "dmesg and nvidia-smi may say why; --device cpu does without the GPU";
    case OCTAVO_UNSUPPORTED:
      return "build octavo with this GPU's number in OCTAVO_CUDA_ARCHITECTURES, or use --device cpu";
    default:
      return "";
  }
}

}  // namespace

void check(cudaError_t code, const char* operation, const char* what) {
  if (code == cudaSuccess) return;
  cudaGetLastError();  // a failure that is not sticky must not show up in a later call
  const octavo_status status = status_of(code);
  throw PluginError(status,
                    fmt::format("[{}] CUDA, {}: {} ({})", operation, what, cudaGetErrorString(code),
                                cudaGetErrorName(code)),
                    hint_of(status));
}

void check_launch(const char* operation) { check(cudaGetLastError(), operation, "launch"); }

}  // namespace octavo::cuda
