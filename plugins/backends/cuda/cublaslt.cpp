#include "cublaslt.hpp"

#include <octavo/plugin.hpp>

#include <fmt/format.h>

#include <dlfcn.h>

#include <cstdlib>
#include <mutex>
#include <vector>

namespace octavo::cuda {
namespace {

constexpr const char* kLibrary = "libcublasLt.so.13";

std::vector<std::string> places() {
  std::vector<std::string> found;
  if (const char* file = std::getenv("OCTAVO_CUBLASLT"); file != nullptr && *file != '\0')
    found.emplace_back(file);
  found.emplace_back(kLibrary);
  if (const char* torch = std::getenv("OCTAVO_TORCH"); torch != nullptr && *torch != '\0') {
    found.push_back(fmt::format("{}/../nvidia/cu13/lib/{}", torch, kLibrary));
    found.push_back(fmt::format("{}/lib/{}", torch, kLibrary));
  }
  found.push_back(fmt::format("{}/{}", OCTAVO_CUDA_LIBRARIES, kLibrary));
  found.push_back(fmt::format("{}/../lib/{}", OCTAVO_CUBLASLT_HEADERS, kLibrary));
  found.push_back(fmt::format("/usr/local/cuda/lib64/{}", kLibrary));
  return found;
}

void* open_library() {
  if (void* loaded = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD)) return loaded;
  for (const std::string& place : places()) {
    if (void* opened = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL)) return opened;
  }
  throw PluginError(OCTAVO_UNSUPPORTED,
                    fmt::format("[matmul] {} was not found, in {}", kLibrary, fmt::join(places(), ", ")),
                    "install the CUDA Toolkit's cuBLAS or the nvidia-cublas wheel, or name the file in "
                    "OCTAVO_CUBLASLT; conversions with nearest do not need it");
}

template <typename Function>
void take(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (function == nullptr)
    throw PluginError(OCTAVO_UNSUPPORTED, fmt::format("[matmul] {} has no {}", kLibrary, name));
}

CublasLt load() {
  void* library = open_library();
  CublasLt made{};
  take(library, "cublasLtCreate", made.create);
  take(library, "cublasLtDestroy", made.destroy);
  take(library, "cublasLtMatmul", made.matmul);
  take(library, "cublasLtMatmulAlgoGetHeuristic", made.heuristic);
  take(library, "cublasLtMatmulDescCreate", made.desc_create);
  take(library, "cublasLtMatmulDescDestroy", made.desc_destroy);
  take(library, "cublasLtMatmulDescSetAttribute", made.desc_set);
  take(library, "cublasLtMatrixLayoutCreate", made.layout_create);
  take(library, "cublasLtMatrixLayoutDestroy", made.layout_destroy);
  take(library, "cublasLtMatmulPreferenceCreate", made.preference_create);
  take(library, "cublasLtMatmulPreferenceDestroy", made.preference_destroy);
  take(library, "cublasLtMatmulPreferenceSetAttribute", made.preference_set);
  take(library, "cublasLtGetStatusString", made.status_string);
  take(library, "cublasLtGetVersion", made.version);
  return made;
}

}  // namespace

const CublasLt& cublaslt() {
  static const CublasLt library = load();  // a failure is tried again by the next call
  return library;
}

std::string cublaslt_absence() {
  try {
    cublaslt();
    return {};
  } catch (const PluginError& error) {
    return error.what();
  }
}

void check(cublasStatus_t status, const char* operation, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  const octavo_status code = status == CUBLAS_STATUS_ALLOC_FAILED       ? OCTAVO_NO_MEMORY
                             : status == CUBLAS_STATUS_NOT_SUPPORTED    ? OCTAVO_UNSUPPORTED
                             : status == CUBLAS_STATUS_ARCH_MISMATCH    ? OCTAVO_UNSUPPORTED
                             : status == CUBLAS_STATUS_EXECUTION_FAILED ? OCTAVO_DEVICE_LOST
                                                                        : OCTAVO_FAILED;
  throw PluginError(code,
                    fmt::format("[{}] cuBLASLt, {}: {}", operation, what, cublaslt().status_string(status)));
}

}  // namespace octavo::cuda
