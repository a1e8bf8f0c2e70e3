/* SPDX-License-Identifier: Apache-2.0 */
/* Model filters: which tensors of an architecture are quantized, kept, or left out, and why.
 *
 * A filter is data. All functions may be called from any thread and see headers only. */
#ifndef OCTAVO_ABI_MODEL_H
#define OCTAVO_ABI_MODEL_H

#include "format.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Descriptor flags. */
#define OCTAVO_MODEL_AUTO 1u     /* takes part in `--model auto`: one filter for each architecture */
#define OCTAVO_MODEL_FALLBACK 2u /* is used when no filter recognises a checkpoint */

typedef enum octavo_decision {
  OCTAVO_DECISION_QUANTIZE = 1,
  OCTAVO_DECISION_KEEP = 2,           /* copied as it is: not a layer, or of no use quantized */
  OCTAVO_DECISION_HIGH_PRECISION = 3, /* a layer whose precision matters */
  OCTAVO_DECISION_REMOVE = 4,         /* left out of the output */
  OCTAVO_DECISION_REFUSE = 5          /* the file cannot be converted in a way that loads; the run ends */
} octavo_decision;

typedef struct octavo_detection {
  uint32_t struct_size;
  uint32_t score;   /* 0: not this architecture; else up to 1000 */
  char reason[256]; /* "57 of 57 signature keys" */
} octavo_detection;

typedef struct octavo_model_context {
  uint32_t struct_size;
  uint32_t reserved;
  const octavo_header* header;
  const char* part_prefix; /* "model.diffusion_model." or "": the part of the checkpoint that is looked at */
  int64_t block_count;     /* numbered blocks of that part, 0 if none */
} octavo_model_context;

typedef struct octavo_classification {
  uint32_t struct_size;
  uint32_t decision; /* octavo_decision */
  char rule[128];    /* what decided: a pattern, "rank", "size" */
  char reason[256];  /* for people */
} octavo_classification;

typedef struct octavo_model_api {
  uint32_t struct_size;
  uint32_t reserved;
  octavo_status (*create)(const octavo_host* host, const octavo_param_value* values, uint64_t count,
                          void** self, octavo_error* error);
  void (*destroy)(void* self);
  octavo_status (*detect)(void* self, const octavo_model_context* context, octavo_detection* detection,
                          octavo_error* error);
  octavo_status (*classify)(void* self, const octavo_model_context* context,
                            const octavo_header_tensor* tensor, octavo_classification* classification,
                            octavo_error* error);
  /* Key of the weight of the norm or linear whose output is the input of layer `name` (its key without
   * ".weight"), so that the inverse of SmoothQuant's factors can be folded into it: written to `target`,
   * which is left empty if there is none; `target_size` counts its NUL. To name a target is a promise: all
   * layers that read its output name it, and nothing else reads it. NULL: never. */
  octavo_status (*fold_target)(void* self, const octavo_model_context* context, const char* name,
                               char* target, uint64_t target_size, octavo_error* error);
} octavo_model_api;

#ifdef __cplusplus
}
#endif

#endif
