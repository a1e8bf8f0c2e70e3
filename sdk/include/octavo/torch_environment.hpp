// SPDX-License-Identifier: Apache-2.0
// What LibTorch and its libraries take a GPU's memory for, chosen where they read it: in the environment.
#pragma once

#include <cstdlib>

namespace octavo {

// Call it before other threads run: a GPU's driver reads the environment in one. Settings of the user's stay.
// (On one model 4.6 in place of 12.2 GB.) LibTorch keeps what work on a stream has given back for that
// stream; from the device's own pool its memory comes as a lane's does, and fits the next layer whichever of
// them works on it. cuBLAS would have 32 MiB for each stream of each thread.
inline void set_torch_environment() {
  constexpr int kKeep = 0;
  if (std::getenv("PYTORCH_ALLOC_CONF") == nullptr)
    setenv("PYTORCH_CUDA_ALLOC_CONF", "backend:cudaMallocAsync", kKeep);
  setenv("CUBLAS_WORKSPACE_CONFIG", ":1024:2", kKeep);
}

}  // namespace octavo
