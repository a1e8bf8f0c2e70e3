// The instruction set that the kernels run with.
#pragma once

#include "targets.hpp"

#include <string>

namespace octavo::cpu {

// The best set that this build has and this processor can run, or the one that OCTAVO_SIMD (scalar, avx2,
// avx512) names. Throws PluginError OCTAVO_BAD_ARGUMENT, naming what is there, for any other value.
Simd pick_simd();

// "AVX-512", "AVX2" or "no vector instructions".
std::string simd_title(Simd simd);

}  // namespace octavo::cpu
