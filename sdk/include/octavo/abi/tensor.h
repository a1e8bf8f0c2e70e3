/* SPDX-License-Identifier: Apache-2.0 */
/* Element types and the tensor view: how weights, codes and scales cross the boundary. */
#ifndef OCTAVO_ABI_TENSOR_H
#define OCTAVO_ABI_TENSOR_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Every dtype of the safetensors format, in the order of its reference writer (narrow first).
 * The numbers are fixed; a new dtype gets a new number. */
typedef enum octavo_dtype {
  OCTAVO_BOOL = 0,
  OCTAVO_F4 = 1, /* E2M1, two per byte */
  OCTAVO_F6_E2M3 = 2,
  OCTAVO_F6_E3M2 = 3,
  OCTAVO_U8 = 4,
  OCTAVO_I8 = 5,
  OCTAVO_F8_E5M2 = 6,
  OCTAVO_F8_E4M3 = 7, /* finite only: no infinity, NaN is 0x7f and 0xff */
  OCTAVO_F8_E8M0 = 8, /* a power of two: 2^(byte - 127), 0xff is NaN */
  OCTAVO_F8_E4M3FNUZ = 9,
  OCTAVO_F8_E5M2FNUZ = 10,
  OCTAVO_I16 = 11,
  OCTAVO_U16 = 12,
  OCTAVO_F16 = 13,
  OCTAVO_BF16 = 14,
  OCTAVO_I32 = 15,
  OCTAVO_U32 = 16,
  OCTAVO_F32 = 17,
  OCTAVO_C64 = 18,
  OCTAVO_F64 = 19,
  OCTAVO_I64 = 20,
  OCTAVO_U64 = 21
} octavo_dtype;

#define OCTAVO_DTYPE_COUNT 22

/* Where the bytes of a view live. */
typedef enum octavo_memory {
  OCTAVO_MEMORY_HOST = 0,   /* ordinary memory */
  OCTAVO_MEMORY_PINNED = 1, /* host memory that a device copies from and to without staging */
  OCTAVO_MEMORY_DEVICE = 2  /* not readable by the CPU; `device` says whose */
} octavo_memory;

#define OCTAVO_MAX_RANK 8

/* A view of memory that somebody else owns. The last dimension is contiguous; `row_stride` is the distance,
 * in elements, between two consecutive entries of the first dimension of a rank 2 view (cols when packed).
 * Rank 0 has one element. Whether a callee may write through `data` is said by the function. */
typedef struct octavo_tensor {
  uint32_t struct_size;
  uint32_t dtype;  /* octavo_dtype */
  uint32_t memory; /* octavo_memory */
  int32_t device;  /* index among the backend's devices, -1 for host memory */
  void* data;
  uint32_t rank;
  uint32_t reserved;
  int64_t shape[OCTAVO_MAX_RANK];
  int64_t row_stride;
} octavo_tensor;

#ifdef __cplusplus
}
#endif

#endif
