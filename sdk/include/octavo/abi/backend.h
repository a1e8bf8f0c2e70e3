/* SPDX-License-Identifier: Apache-2.0 */
/* Backends: lanes, memory and a dozen operations.
 *
 * A lane is one worker's private slice of a backend; a lane is used by one thread at a time. Operations on a
 * lane run in the order in which they were issued, and may be asynchronous: what they wrote may be used by
 * later operations of the lane at once, and by the CPU after wait(). Inside a lane a library runs
 * single-threaded.
 *
 * Class A operations (quantize_nearest, absmax, to_basis, from_basis, dequantize, cast, merge_low_rank) give
 * the bits of the reference, whatever the hardware: f32, round to nearest even, division as by IEEE, no
 * contraction of a multiplication and an addition except where that gives the same bits. The others
 * (round_feedback, matmul, matmul_int8, gram, error_sums, row_metric) and the sums of a tile (error_sum,
 * signal_sum) are class B: the same bits each time on one machine, close to the reference's. */
#ifndef OCTAVO_ABI_BACKEND_H
#define OCTAVO_ABI_BACKEND_H

#include "grid.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum octavo_operation {
  OCTAVO_OP_QUANTIZE_NEAREST = 0,
  OCTAVO_OP_ABSMAX = 1,
  OCTAVO_OP_TO_BASIS = 2,
  OCTAVO_OP_FROM_BASIS = 3,
  OCTAVO_OP_DEQUANTIZE = 4,
  OCTAVO_OP_ROUND_FEEDBACK = 5,
  OCTAVO_OP_MATMUL = 6,
  OCTAVO_OP_MATMUL_INT8 = 7,
  OCTAVO_OP_GRAM = 8,
  OCTAVO_OP_ERROR_SUMS = 9,
  OCTAVO_OP_CAST = 10,
  OCTAVO_OP_MERGE_LOW_RANK = 11,
  OCTAVO_OP_ROW_METRIC = 12
} octavo_operation;

#define OCTAVO_OP_COUNT 13

struct octavo_operations;
struct octavo_backend_api;

/* How a thread sees its lane: filled by the host, which puts the reference where the backend has no
 * operation. */
typedef struct octavo_lane {
  uint32_t struct_size;
  uint32_t index;
  void* self;      /* the backend's own */
  uint32_t memory; /* octavo_memory that operations work in */
  int32_t device;
  uint32_t primary; /* 1: preparation may run here, as on every lane but the later ones of a device */
  uint32_t reserved;
  const struct octavo_operations* operations;
  const octavo_host* host;
  /* Memory and copies of this lane for whoever works on it: allocate, release, copy, record and wait. NULL: a
   * lane of no backend, on ordinary memory, whose operations are done when they return. */
  const struct octavo_backend_api* backend;
} octavo_lane;

typedef struct octavo_absmax_result {
  uint32_t struct_size;
  float absmax; /* of the finite values, in the grid's basis */
  int64_t nonfinite_count;
  int64_t nonfinite_first;
  int64_t overflow_count; /* CAST grids: finite values beyond the stored dtype */
} octavo_absmax_result;

/* The sequential part of LDLQ / GPTQ for one block of columns, rows in parallel. For k from the last column
 * to the first: f = (source[r,k] + fed[r,k]) + sum over the already rounded i of residual[r,i] factor[i,k];
 * code = clamp(rint(f / scale)); stored = code x scale; residual[r,k] = source[r,k] - stored;
 * metric[r] += pivots[k] (f - stored)^2. With the pivots D of H = L D L^T the sum over all blocks is e H e^T
 * for the residual e of the row. */
typedef struct octavo_feedback {
  uint32_t struct_size;
  uint32_t reserved;
  const octavo_grid* grid;
  int64_t row_begin; /* of the views within the layer: which scale a row of a block grid has */
  int64_t col_begin;
  octavo_tensor source;   /* f32 [rows, block]: the weight in the grid's basis */
  octavo_tensor fed;      /* f32 [rows, block]: what columns of other blocks feed back; data NULL: nothing */
  octavo_tensor factor;   /* f32 [block, block]: unit lower triangle L, read below its diagonal; data NULL: no
                             feedback inside the block, which is nearest on these scales */
  octavo_tensor scales;   /* f32 level 0 of the whole layer */
  octavo_tensor codes;    /* written: grid.stored_dtype [rows, block] */
  octavo_tensor residual; /* written: f32 [rows, block]; may be the source */
  octavo_tensor pivots;   /* f32 [1, block]; data NULL: no metric */
  octavo_tensor metric;   /* f64 [rows, 1], added to */
} octavo_feedback;

typedef enum octavo_precision {
  OCTAVO_PRECISION_F32 = 0,
  OCTAVO_PRECISION_TF32 = 1,
  OCTAVO_PRECISION_BF16 = 2 /* operands rounded to bf16, accumulated in f32 */
} octavo_precision;

/* c = op(a) op(b), plus c if accumulate; op transposes where transpose_a or transpose_b is not 0. op(a)
 * [rows, inner] and op(b) [inner, cols], each f32, bf16 or f16; c f32 [rows, cols]. */
typedef struct octavo_matmul {
  uint32_t struct_size;
  uint32_t transpose_a;
  uint32_t transpose_b;
  uint32_t accumulate;
  uint32_t precision; /* octavo_precision */
  uint32_t reserved;
  octavo_tensor a;
  octavo_tensor b;
  octavo_tensor c;
} octavo_matmul;

/* The layer's output as consumers compute it (W8A8): x is brought to the grid's basis and rounded to
 * compute_dtype, each token quantized with scale max(absmax / 127, 1e-30), v = compute_dtype(x / divisor),
 * the divisor being the scale rounded to compute_dtype, clamped to [-128, 127]; integer products exact; y =
 * compute_dtype(f32(sum) x (token scale x row scale)), then bias added and rounded once more. */
typedef struct octavo_matmul_int8 {
  uint32_t struct_size;
  uint32_t compute_dtype; /* F32, BF16 or F16 */
  const octavo_grid* grid;
  octavo_tensor x;      /* compute_dtype [tokens, cols] */
  octavo_tensor codes;  /* I8 [rows, cols] */
  octavo_tensor scales; /* f32 [rows, 1] or [1, 1] */
  octavo_tensor bias;   /* compute_dtype [rows], or data NULL */
  octavo_tensor y;      /* written: compute_dtype [tokens, rows] */
} octavo_matmul_int8;

typedef struct octavo_error_sums {
  uint32_t struct_size;
  float max_error;
  double error_sum;  /* sum of (a - b)^2 */
  double signal_sum; /* sum of a^2 */
} octavo_error_sums;

typedef struct octavo_cast_result {
  uint32_t struct_size;
  uint32_t reserved;
  int64_t overflow_count;
  int64_t underflow_count;
} octavo_cast_result;

/* All in the lane's memory; results are host structs, valid after wait(). An entry may be NULL in a backend.
 * Class B where nothing else is said. */
typedef struct octavo_operations {
  uint32_t struct_size;
  uint32_t reserved;
  /* Class A. The whole of nearest for a tile: basis, absmax, scales, codes, sums, in one read of the source.
   */
  octavo_status (*quantize_nearest)(octavo_lane* lane, const octavo_tile* tile, octavo_tile_result* result,
                                    octavo_error* error);
  /* Class A. Largest magnitude of `source` (any float dtype) in the grid's basis, and what is not finite in
   * it. `grid` may be NULL: plain basis. flags: OCTAVO_TILE_ZERO_NONFINITE. */
  octavo_status (*absmax)(octavo_lane* lane, const octavo_grid* grid, const octavo_tensor* source,
                          uint32_t flags, octavo_absmax_result* result, octavo_error* error);
  /* Class A. source (any float dtype) -> f32 in the grid's basis, and f32 back. May work in place for f32. */
  octavo_status (*to_basis)(octavo_lane* lane, const octavo_grid* grid, const octavo_tensor* source,
                            octavo_tensor* target, octavo_error* error);
  octavo_status (*from_basis)(octavo_lane* lane, const octavo_grid* grid, const octavo_tensor* source,
                              octavo_tensor* target, octavo_error* error);
  /* Class A. Codes, scales and zero points of `tile` (read) -> `target` f32 [tile rows, grid cols], undoing a
   * CONVROT basis if `plain`; a level that belongs to the whole tensor is read from scales too. */
  octavo_status (*dequantize)(octavo_lane* lane, const octavo_tile* tile, uint32_t plain,
                              octavo_tensor* target, octavo_error* error);
  octavo_status (*round_feedback)(octavo_lane* lane, const octavo_feedback* feedback, octavo_error* error);
  octavo_status (*matmul)(octavo_lane* lane, const octavo_matmul* matmul, octavo_error* error);
  octavo_status (*matmul_int8)(octavo_lane* lane, const octavo_matmul_int8* matmul, octavo_error* error);
  /* h (f32 [cols, cols]) = x^T x, plus h if accumulate; x f32 or bf16 [samples, cols]. Both triangles. */
  octavo_status (*gram)(octavo_lane* lane, const octavo_tensor* x, octavo_tensor* h, uint32_t accumulate,
                        octavo_error* error);
  /* a and b: any float dtypes, of one shape. */
  octavo_status (*error_sums)(octavo_lane* lane, const octavo_tensor* a, const octavo_tensor* b,
                              octavo_error_sums* sums, octavo_error* error);
  /* Class A. Between F64, F32, BF16, F16 and 8-bit floats, half to even. flags: OCTAVO_TILE_CLAMP_OVERFLOW,
   * OCTAVO_TILE_ZERO_NONFINITE. Without the first an overflow becomes what the dtype has for it (inf or NaN).
   */
  octavo_status (*cast)(octavo_lane* lane, const octavo_tensor* source, octavo_tensor* target, uint32_t flags,
                        octavo_cast_result* result, octavo_error* error);
  /* Class A. target (f32) = f32(source) + strength x (up down), up f32 [rows, rank], down f32 [rank, cols]:
   * for each element the products up[r,i] x down[i,c] are added in the order of i, starting from 0, in f32.
   */
  octavo_status (*merge_low_rank)(octavo_lane* lane, const octavo_tensor* source, const octavo_tensor* up,
                                  const octavo_tensor* down, float strength, octavo_tensor* target,
                                  octavo_error* error);
  /* metric[r] += sum over k of pivots[k] x[r,k]^2, summed in f64; x f32 [rows, cols], pivots f32 [1, cols],
   * metric f64 [rows, 1]. With x = e L this is the e H e^T of each row e. */
  octavo_status (*row_metric)(octavo_lane* lane, const octavo_tensor* x, const octavo_tensor* pivots,
                              octavo_tensor* metric, octavo_error* error);
} octavo_operations;

typedef struct octavo_lane_request {
  uint32_t struct_size;
  uint32_t index; /* of `count` lanes that this run opens */
  uint32_t count;
  int32_t device;
  uint32_t slots; /* tiles that the lane has in flight */
  uint32_t reserved;
  uint64_t slot_bytes; /* host memory that each slot needs */
} octavo_lane_request;

typedef struct octavo_backend_api {
  uint32_t struct_size;
  uint32_t lanes; /* how many lanes suit a device; 0: one for each CPU that the process may use */
  uint32_t slots; /* how many tiles a lane should have in flight */
  uint32_t reserved;
  octavo_status (*create)(const octavo_host* host, const octavo_param_value* values, uint64_t count,
                          void** self, octavo_error* error);
  void (*destroy)(void* self);
  /* Fills lane.self, memory, device, operations. May be called from several threads for different lanes. */
  octavo_status (*open_lane)(void* self, const octavo_lane_request* request, octavo_lane* lane,
                             octavo_error* error);
  void (*close_lane)(void* self, octavo_lane* lane);
  /* 64-byte aligned, for this lane. PINNED memory is ordinary memory where there is no device. */
  octavo_status (*allocate)(octavo_lane* lane, uint32_t memory, uint64_t bytes, void** data,
                            octavo_error* error);
  void (*release)(octavo_lane* lane, uint32_t memory, void* data);
  /* Between host or pinned memory and the lane's memory, in the lane's order. */
  octavo_status (*copy)(octavo_lane* lane, void* target, uint32_t target_memory, const void* source,
                        uint32_t source_memory, uint64_t bytes, octavo_error* error);
  /* record: marks the work issued so far as belonging to `slot`. wait: returns when that work is done, with
   * the first error any of it met. */
  octavo_status (*record)(octavo_lane* lane, uint32_t slot, octavo_error* error);
  octavo_status (*wait)(octavo_lane* lane, uint32_t slot, octavo_error* error);
  /* 1 if `operation` works on these operands, else 0 and the reason. `grid` may be NULL. */
  int32_t (*supports)(void* self, uint32_t operation, const octavo_grid* grid, const octavo_tensor* operands,
                      uint64_t count, char* reason, uint64_t reason_size);
  /* May be NULL. Brings up what the first lane of this device would wait for, while a run is planned. What
   * fails here shows again when lanes are opened. May be called from any thread, beside open_lane and
   * supports. */
  octavo_status (*warm_up)(void* self, int32_t device, octavo_error* error);
} octavo_backend_api;

#ifdef __cplusplus
}
#endif

#endif
