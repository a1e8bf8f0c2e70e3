// Which instruction sets the kernels are compiled for, and how one of them is picked.
//
// Every kernel file is compiled once for each of these by Highway's foreach_target and ends in a table of
// functions per set. The pick is made once, when a backend is created, and not by Highway's own dispatch, so
// that OCTAVO_SIMD can force one without touching state of the whole process.
#pragma once

// AVX-512 and AVX2; on machines without either the host's reference does the work. Highway also compiles a
// file for the compiler's baseline, where the kernel files are empty.
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_AVX3_DL | HWY_SSE4 | HWY_SSSE3)
#endif

#include <hwy/detect_targets.h>

#define OCTAVO_CPU_HAS_AVX2 (HWY_TARGETS & HWY_AVX2)
#define OCTAVO_CPU_HAS_AVX512 (HWY_TARGETS & HWY_AVX3)

// True while a file is compiled for one of the sets above.
#define OCTAVO_CPU_KERNEL_TARGET (HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3)

namespace octavo::cpu {

enum class Simd { scalar, avx2, avx512 };

}  // namespace octavo::cpu

// The body of `const Table* f(Simd)` in a kernel file: the address of N_<target>::TABLE, nullptr for scalar.
#if OCTAVO_CPU_HAS_AVX2
#define OCTAVO_CPU_AVX2_CASE(TABLE) \
  case Simd::avx2:                  \
    return &N_AVX2::TABLE;
#else
#define OCTAVO_CPU_AVX2_CASE(TABLE)
#endif
#if OCTAVO_CPU_HAS_AVX512
#define OCTAVO_CPU_AVX512_CASE(TABLE) \
  case Simd::avx512:                  \
    return &N_AVX3::TABLE;
#else
#define OCTAVO_CPU_AVX512_CASE(TABLE)
#endif
#define OCTAVO_CPU_PICK(SIMD, TABLE) \
  switch (SIMD) {                    \
    OCTAVO_CPU_AVX2_CASE(TABLE)      \
    OCTAVO_CPU_AVX512_CASE(TABLE)    \
    default:                         \
      return nullptr;                \
  }
