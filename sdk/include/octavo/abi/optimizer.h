/* SPDX-License-Identifier: Apache-2.0 */
/* Optimizers choose the integers: prepare a layer (if they need to), then quantize it tile by tile.
 *
 * One instance serves all lanes of a run at the same time: `quantize` of different tiles, also of one layer,
 * may run concurrently and must not change `state`. The host compares an optimizer's row_metric with
 * nearest's and stores nearest where it is not lower. */
#ifndef OCTAVO_ABI_OPTIMIZER_H
#define OCTAVO_ABI_OPTIMIZER_H

#include "backend.h"
#include "grid.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Answers of wants(), or-ed. */
#define OCTAVO_WANTS_ROWS 1u        /* rows are independent: any band of rows can be quantized by itself */
#define OCTAVO_WANTS_WHOLE_LAYER 2u /* the layer comes as one tile */
#define OCTAVO_WANTS_PREPARE 4u     /* prepare() is to be called before the first tile */
#define OCTAVO_WANTS_INPUTS 8u      /* and wants the layer's calibration inputs */

/* Real inputs of a layer, or of a group of layers that share them. All host memory; data NULL: not known. */
typedef struct octavo_inputs {
  uint32_t struct_size;
  uint32_t layers;           /* that share them and will be prepared; 0: not known */
  octavo_tensor samples;     /* f32 or bf16 [samples, cols] */
  octavo_tensor mean;        /* f32 [cols], signed */
  octavo_tensor channel_max; /* f32 [cols], of |x| */
} octavo_inputs;

/* Reads rows of the layer's source (after a LoRA merge) into f32 host memory. Any thread. */
typedef struct octavo_rows {
  uint32_t struct_size;
  uint32_t reserved;
  void* context;
  octavo_status (*read)(void* context, int64_t row_begin, octavo_tensor* target, octavo_error* error);
} octavo_rows;

typedef enum octavo_verdict {
  OCTAVO_VERDICT_GO = 0,
  OCTAVO_VERDICT_NEAREST = 1 /* nearest is as good or better for this layer; the reason is reported */
} octavo_verdict;

typedef struct octavo_preparation {
  uint32_t struct_size;
  uint32_t verdict; /* octavo_verdict */
  char reason[256];
} octavo_preparation;

/* Descriptor flags of an optimizer: none yet. */
typedef struct octavo_optimizer_api {
  uint32_t struct_size;
  uint32_t reserved;
  const char* default_format; /* "id", "id:parameter=value,...", or "" for the host's default */
  octavo_status (*create)(const octavo_host* host, const octavo_param_value* values, uint64_t count,
                          void** self, octavo_error* error);
  void (*destroy)(void* self);
  uint32_t (*wants)(void* self, const octavo_layer* layer, const octavo_grid* grid, uint32_t has_inputs);
  /* State shared by the layers of one input group, in one basis; freed when the last of them is done. NULL if
   * the optimizer has none. Runs on a primary lane; of different groups at once. */
  octavo_status (*prepare_inputs)(void* self, octavo_lane* lane, const octavo_inputs* inputs,
                                  const octavo_grid* grid, void** shared, octavo_error* error);
  void (*release_inputs)(void* self, void* shared);
  /* NULL if no parameter makes the optimizer want it. `inputs` and `shared` may be NULL. Runs on a primary
   * lane; of different layers at once. */
  octavo_status (*prepare)(void* self, octavo_lane* lane, const octavo_layer* layer, const octavo_grid* grid,
                           const octavo_rows* rows, const octavo_inputs* inputs, void* shared, void** state,
                           octavo_preparation* preparation, octavo_error* error);
  /* state: prepare's, or NULL. */
  octavo_status (*quantize)(void* self, void* state, octavo_lane* lane, const octavo_tile* tile,
                            octavo_tile_result* result, octavo_error* error);
  void (*release)(void* self, void* state);
  /* Loads what the first work in this memory (octavo_memory), of this device, would wait for: libraries and
   * their handles. Called where layers come with inputs or whole, on a thread of its own, while lanes are
   * opened and work. What fails here fails again where it is needed, so the host only logs it. NULL if there
   * is nothing to load. */
  octavo_status (*warm_up)(void* self, uint32_t memory, int32_t device, octavo_error* error);
} octavo_optimizer_api;

#ifdef __cplusplus
}
#endif

#endif
