/* SPDX-License-Identifier: Apache-2.0 */
/* Formats: which grid a layer gets, which tensors that makes in the file, and how to find them again.
 *
 * Formats decide from headers alone and hold no tensor data. All functions may be called from any thread. */
#ifndef OCTAVO_ABI_FORMAT_H
#define OCTAVO_ABI_FORMAT_H

#include "grid.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct octavo_header_tensor {
  uint32_t struct_size;
  uint32_t dtype;
  const char* name;
  uint32_t rank;
  uint32_t reserved;
  const int64_t* shape;
} octavo_header_tensor;

/* A checkpoint's header. Tensors are sorted by name; pointers live as long as the call that was given the
 * header. */
typedef struct octavo_header {
  uint32_t struct_size;
  uint32_t reserved;
  void* context;
  uint64_t count;
  /* The caller sets tensor->struct_size. OCTAVO_BAD_ARGUMENT for an index that is not below `count`. */
  octavo_status (*tensor)(void* context, uint64_t index, octavo_header_tensor* tensor);
  int64_t (*find)(void* context, const char* name);        /* index, or -1 */
  const char* (*metadata)(void* context, const char* key); /* NULL if there is none */
  /* Bytes of a U8 tensor of at most 64 KiB (markers); NULL for any other tensor. Not NUL-terminated. */
  const uint8_t* (*marker)(void* context, uint64_t index, uint64_t* size);
} octavo_header;

typedef enum octavo_role {
  OCTAVO_ROLE_CODES = 1,
  OCTAVO_ROLE_SCALES = 2,       /* level 0 */
  OCTAVO_ROLE_OUTER_SCALES = 3, /* level 1 */
  OCTAVO_ROLE_ZERO_POINTS = 4,
  OCTAVO_ROLE_ROW_SIGNS = 5, /* of an incoherent basis */
  OCTAVO_ROLE_COLUMN_SIGNS = 6,
  OCTAVO_ROLE_SMOOTH_FACTORS = 7, /* F32 [cols]: the codes are those of W diag(factors) */
  OCTAVO_ROLE_INPUT_SCALE = 8,
  OCTAVO_ROLE_CONSTANT = 9, /* bytes are known from the plan */
  OCTAVO_ROLE_MARKER = 10   /* the same, and they say in JSON how the layer is stored */
} octavo_role;

typedef struct octavo_entry {
  uint32_t struct_size;
  uint32_t role; /* octavo_role */
  const char* key;
  uint32_t dtype;
  uint32_t rank;
  int64_t shape[OCTAVO_MAX_RANK];
  const void* bytes; /* CONSTANT and MARKER: the tensor's bytes; else NULL */
  uint64_t bytes_size;
} octavo_entry;

typedef octavo_status (*octavo_entry_sink)(void* context, const octavo_entry* entry);

/* entries(): or-ed. */
#define OCTAVO_ENTRIES_FULL_PRECISION_MATMUL 1u /* marker asks the loader to dequantize at every forward */
#define OCTAVO_ENTRIES_LEGACY_KEYS 2u           /* `.scale_weight`, no marker */
#define OCTAVO_ENTRIES_INPUT_SCALE 4u           /* a unit (or calibrated) activation scale */
/* Columns are multiplied by factors and loaders divide the inputs by them: a SMOOTH_FACTORS entry, F32
 * [cols]. A format without such an entry ignores it, and the host looks for another place. */
#define OCTAVO_ENTRIES_SMOOTH_FACTORS 8u

/* grid(): how the format stores this layer. */
typedef struct octavo_placement {
  uint32_t struct_size;
  uint32_t fallback; /* 1: not as asked for, `note` says why */
  octavo_grid grid;
  char stored_as[64]; /* format name in the marker, "" if there is none */
  char note[256];     /* what is out of the ordinary: layers are counted and named by it in the report, "" for
                         most; with OCTAVO_REFUSED the reason */
} octavo_placement;

/* Random access to the stored tensors of one layer, for formats that pack, swizzle or transpose. `role` is
 * one that entries() named; `offset` counts bytes from the start of that tensor, and nothing beyond its end
 * may be asked for. encode() only writes, decode() only reads. */
typedef struct octavo_storage {
  uint32_t struct_size;
  uint32_t reserved;
  void* context;
  octavo_status (*write)(void* context, uint32_t role, uint64_t offset, const void* bytes, uint64_t size);
  octavo_status (*read)(void* context, uint32_t role, uint64_t offset, void* bytes, uint64_t size);
} octavo_storage;

typedef struct octavo_recognised_entry {
  uint32_t role;
  uint32_t reserved;
  uint64_t tensor; /* index in the header */
} octavo_recognised_entry;

/* A layer found in a file. `codes` and every companion is named, so that nothing of it is taken for something
 * else. */
typedef struct octavo_recognised {
  uint32_t struct_size;
  uint32_t flags;   /* OCTAVO_ENTRIES_* that it was written with */
  const char* name; /* base name */
  int64_t rows;     /* of the layer, before padding */
  int64_t cols;
  octavo_grid grid;
  const octavo_recognised_entry* entries;
  uint64_t entries_count;
} octavo_recognised;

typedef enum octavo_severity {
  OCTAVO_SEVERITY_NOTE = 0,    /* worth knowing */
  OCTAVO_SEVERITY_WARNING = 1, /* some loader may stumble, or something is odd */
  OCTAVO_SEVERITY_ERROR = 2    /* the file is wrong */
} octavo_severity;

/* A finding about the way a file stores a layer ("marker without scale"). */
typedef struct octavo_finding {
  uint32_t struct_size;
  uint32_t severity; /* octavo_severity */
  const char* code;  /* short, stable: "scale-missing" */
  const char* tensor;
  const char* message;
} octavo_finding;

typedef struct octavo_recognition {
  uint32_t struct_size;
  uint32_t reserved;
  void* context;
  octavo_status (*layer)(void* context, const octavo_recognised* layer);
  octavo_status (*finding)(void* context, const octavo_finding* finding);
} octavo_recognition;

typedef struct octavo_format_api {
  uint32_t struct_size;
  uint32_t reserved;
  octavo_status (*create)(const octavo_host* host, const octavo_param_value* values, uint64_t count,
                          void** self, octavo_error* error);
  void (*destroy)(void* self);
  /* OCTAVO_REFUSED with the reason in placement.note if the layer cannot be stored: the host then keeps it.
   */
  octavo_status (*grid)(void* self, const octavo_layer* layer, octavo_placement* placement,
                        octavo_error* error);
  /* Calls `sink` once for each tensor of the layer. A CODES entry is always there. */
  octavo_status (*entries)(void* self, const octavo_layer* layer, const octavo_grid* grid, uint32_t flags,
                           octavo_entry_sink sink, void* sink_context, octavo_error* error);
  /* NULL unless codes or scales are stored otherwise than row by row as quantize writes them. `tile` holds
   * codes, scales and zero points in host memory; row_begin is a multiple of grid.row_multiple. */
  octavo_status (*encode)(void* self, const octavo_tile* tile, const octavo_storage* storage,
                          octavo_error* error);
  octavo_status (*decode)(void* self, const octavo_tile* tile, const octavo_storage* storage,
                          octavo_error* error);
  /* Finds this format's layers in a file of any origin. */
  octavo_status (*recognise)(void* self, const octavo_header* header, const octavo_recognition* recognition,
                             octavo_error* error);
} octavo_format_api;

#ifdef __cplusplus
}
#endif

#endif
