// CUDA's error codes as the boundary's statuses.
#pragma once

#include <cuda_runtime_api.h>

namespace octavo::cuda {

// Throws a PluginError unless `code` is cudaSuccess: OCTAVO_NO_MEMORY where smaller tiles may work,
// OCTAVO_DEVICE_LOST where the context is of no further use, OCTAVO_UNSUPPORTED where this build has no code
// for the device, else OCTAVO_FAILED. `operation` is what octavo was doing, `what` the step of it.
void check(cudaError_t code, const char* operation, const char* what);

// check() of the launches that this thread made since the last one.
void check_launch(const char* operation);

}  // namespace octavo::cuda
