// cuBLASLt, opened when a product is first asked for: plain conversions never map its 700 MB.
#pragma once

#include <cublasLt.h>

#include <string>

namespace octavo::cuda {

// The functions that are used, from whichever libcublasLt.so.13 was found.
struct CublasLt {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtMatmul) matmul;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic;
  decltype(&cublasLtMatmulDescCreate) desc_create;
  decltype(&cublasLtMatmulDescDestroy) desc_destroy;
  decltype(&cublasLtMatmulDescSetAttribute) desc_set;
  decltype(&cublasLtMatrixLayoutCreate) layout_create;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set;
  decltype(&cublasLtGetStatusString) status_string;
  decltype(&cublasLtGetVersion) version;
};

// Looks for the library where the process has it already, in OCTAVO_CUBLASLT (a file), where the loader finds
// it, beside LibTorch (OCTAVO_TORCH), in the toolkit octavo was built with and in /usr/local/cuda. Kept for
// the life of the process. Throws OCTAVO_UNSUPPORTED naming the places. Any thread.
const CublasLt& cublaslt();

// Why cublaslt() throws, or "".
std::string cublaslt_absence();

// Throws OCTAVO_NO_MEMORY, OCTAVO_UNSUPPORTED or OCTAVO_FAILED unless the status is success.
void check(cublasStatus_t status, const char* operation, const char* what);

}  // namespace octavo::cuda
