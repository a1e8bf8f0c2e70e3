/* SPDX-License-Identifier: Apache-2.0 */
/* The layer and the grid: what a format can store for a layer.
 *
 * A stored value is code x scale[0] x scale[1] (absent levels are 1), or (code - zero point) x scale, in the
 * grid's basis. Nearest on a grid: scale by the level's rule, then round half to even and clamp. */
#ifndef OCTAVO_ABI_GRID_H
#define OCTAVO_ABI_GRID_H

#include "plugin.h"
#include "tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A 2-D weight [rows, cols] = [out_features, in_features]. */
typedef struct octavo_layer {
  uint32_t struct_size;
  uint32_t dtype;   /* octavo_dtype of the source */
  const char* name; /* base name: the weight's key without ".weight" */
  const char* key;  /* key of the weight tensor */
  int64_t rows;
  int64_t cols;
  uint64_t seed; /* the run's seed */
  uint32_t has_bias;
  uint32_t reserved;
} octavo_layer;

typedef enum octavo_code {
  OCTAVO_CODE_INTEGER = 1,      /* qmin..qmax, symmetric around 0 */
  OCTAVO_CODE_INTEGER_ZERO = 2, /* qmin..qmax with a zero point */
  OCTAVO_CODE_E4M3 = 3,         /* largest magnitude 448 */
  OCTAVO_CODE_E5M2 = 4,         /* 57344 */
  OCTAVO_CODE_E2M1 = 5,         /* 0, .5, 1, 1.5, 2, 3, 4, 6 */
  OCTAVO_CODE_CODEBOOK = 6,     /* an index into octavo_grid.codebook; reserved: no operation has it yet */
  OCTAVO_CODE_CAST = 7          /* the value itself in stored_dtype; no scales */
} octavo_code;

typedef enum octavo_granularity {
  OCTAVO_PER_TENSOR = 1, /* one scale */
  OCTAVO_PER_ROW = 2,    /* one for each row */
  OCTAVO_PER_BLOCK = 3,  /* one for each block_rows x block_cols tile */
  OCTAVO_PER_GROUP = 4   /* one for each run of block_cols columns of a row */
} octavo_granularity;

typedef enum octavo_scale_rule {
  OCTAVO_SCALE_ABSMAX = 1,      /* max(absmax / (largest code x largest next level), floor) */
  OCTAVO_SCALE_ABSMAX_POW2 = 2, /* the next power of two at or above absmax / largest code (E8M0) */
  OCTAVO_SCALE_RANGE = 3        /* (max - min) / (qmax - qmin), with a zero point */
} octavo_scale_rule;

/* One level of scales. Level 0 is the finest. As crossing in a tile a level is a rank 2 view
 * [1,1], [rows,1], [rows/block_rows, cols/block_cols] or [rows, cols/block_cols]. */
typedef struct octavo_scale_level {
  uint32_t granularity; /* octavo_granularity */
  uint32_t rule;        /* octavo_scale_rule */
  uint32_t dtype;       /* as stored: F32, F8_E4M3, F8_E8M0, BF16, F16 */
  float floor;          /* smallest scale; 1e-30 for the INT8 formats */
  int64_t block_rows;
  int64_t block_cols;
} octavo_scale_level;

typedef enum octavo_basis {
  OCTAVO_BASIS_PLAIN = 0,
  /* Columns in groups of `basis_group` (a power of 4, at most 256) times the regular Hadamard matrix kron(H4,
   * ..., H4) / sqrt(group), H4 = [+ + + -; + + - +; + - + +; - + + +]. In f32, radix-4 stages at strides 1,
   * 4, 16, 64 in this order: t = (a+b)+(c+d); a-2d... i.e. t-2d, t-2c, t-2b, t-2a; one exact factor
   * 1/sqrt(group) at the end. Symmetric and its own inverse. */
  OCTAVO_BASIS_CONVROT = 1,
  /* Rows and columns padded to powers of two: Hd diag(row signs) W diag(column signs) Hd, Hd the Sylvester
   * matrix / sqrt(n); signs from host.random keyed by basis_seed, which a format makes of its seed and the
   * layer's name (octavo/incoherent.hpp). Couples rows: the layer is one tile. Not class A. */
  OCTAVO_BASIS_INCOHERENT = 2,
  /* The format's own: its encode and decode apply and undo it. */
  OCTAVO_BASIS_FORMAT = 3
} octavo_basis;

typedef struct octavo_grid {
  uint32_t struct_size;
  uint32_t code;         /* octavo_code */
  uint32_t stored_dtype; /* octavo_dtype of one code as quantize writes it (before a format packs it) */
  /* INTEGER and INTEGER_ZERO: the range of codes. Float codes: minus and plus their largest magnitude, by
   * which the host divides the absmax of a layer with one scale. */
  int32_t qmin;
  int32_t qmax;
  uint32_t scale_levels; /* 0, 1 or 2 */
  octavo_scale_level scales[2];
  uint32_t zero_point_dtype; /* INTEGER_ZERO only; zero points have level 0's granularity */
  uint32_t basis;            /* octavo_basis */
  int64_t basis_group;       /* CONVROT */
  uint64_t basis_seed;       /* INCOHERENT */
  int64_t row_multiple;      /* tiles hold a multiple of this many rows, but for the last one */
  int64_t rows;              /* of the codes: the layer's, or padded */
  int64_t cols;
  float codebook[16];   /* CODEBOOK */
  uint64_t reserved[8]; /* 0. Room for later minor versions: grids lie by value inside other structs */
} octavo_grid;

/* A band of whole rows of one layer. `source` is read; everything else with data is written. Views are in the
 * lane's memory. A level of scales that belongs to the whole tensor is not written: it follows from `absmax`.
 */
typedef struct octavo_tile {
  uint32_t struct_size;
  uint32_t flags; /* OCTAVO_TILE_* */
  const octavo_layer* layer;
  const octavo_grid* grid;
  int64_t row_begin;    /* of the tile within the layer */
  octavo_tensor source; /* [tile rows, layer cols]: F32, BF16, F16, F64 or any 8-bit float */
  octavo_tensor codes;  /* [tile rows, grid cols], grid.stored_dtype */
  octavo_tensor scales[2];
  octavo_tensor zero_points;
  octavo_tensor bias_delta; /* f32 [tile rows], or data NULL: what a bias correction adds */
  float absmax;             /* of the whole layer in the grid's basis, where a level is PER_TENSOR; else 0 */
  uint32_t slot;            /* the lane's slot that the views belong to */
} octavo_tile;

/* octavo_tile.flags: or-ed. */
#define OCTAVO_TILE_ZERO_NONFINITE 1u /* NaN, infinity (and >= 2^118 in a rotated basis) count as 0 */
#define OCTAVO_TILE_CLAMP_OVERFLOW 2u /* CAST: overflow becomes the stored dtype's largest finite value */

/* What was found while a tile was quantized. Valid once the lane's slot has been waited for. The caller sets
 * struct_size and the two row pointers; the callee overwrites the rest. */
typedef struct octavo_tile_result {
  uint32_t struct_size;
  float max_error;         /* largest |stored - source| */
  double error_sum;        /* sum of (stored - source)^2 */
  double signal_sum;       /* sum of source^2 */
  int64_t nonfinite_count; /* NaN and infinities; in a rotated basis also |w| >= 2^118 */
  int64_t nonfinite_first; /* row * cols + col within the tile of the first one, -1 if none */
  int64_t overflow_count;  /* CAST: finite values beyond the stored dtype */
  int64_t underflow_count; /* CAST: non-zero values that became zero */
  int64_t floored_rows;    /* rows (blocks) with 0 < absmax / qmax < floor: all their codes are 0 or nearly */
  int64_t rows_sent_back;  /* rows in which an optimizer stored nearest because it was no better */
  /* [tile rows] of host memory or NULL: the optimizer's own metric, lower is better; and the same for
   * nearest. NaN, as the host fills them: nothing is said of this row. */
  double* row_metric;
  double* row_nearest_metric;
  char note[256];
} octavo_tile_result;

#ifdef __cplusplus
}
#endif

#endif
