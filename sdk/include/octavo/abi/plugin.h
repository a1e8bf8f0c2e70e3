/* SPDX-License-Identifier: Apache-2.0 */
/* The descriptor of a plugin, its parameters, statuses, and what the host offers to every kind of plugin.
 *
 * A plugin exports one symbol, OCTAVO_PLUGIN_SYMBOL, which returns a static const descriptor and does no
 * work. Rules that hold for every struct and function of the boundary:
 *  - A struct begins with `struct_size`, its size as the writer of the struct knows it. Minor versions add
 *    members at the end only; a reader looks at a member only if `struct_size` covers it.
 *  - No exception crosses. A fallible function returns a status and describes a failure in `octavo_error`;
 *    outputs are then undefined. `error` may be NULL.
 *  - Strings are UTF-8 and NUL-terminated. Whoever passes a pointer keeps it alive for the call and no
 * longer, except for the descriptor and what it points to, which live as long as the process.
 *  - The host accepts a plugin of its own major version whose minor version is not newer than its own. */
#ifndef OCTAVO_ABI_PLUGIN_H
#define OCTAVO_ABI_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define OCTAVO_ABI_MAJOR 1
#define OCTAVO_ABI_MINOR 0
#define OCTAVO_PLUGIN_SYMBOL "octavo_plugin_v1"

#if defined(__GNUC__)
#define OCTAVO_EXPORT __attribute__((visibility("default")))
#else
#define OCTAVO_EXPORT
#endif

/* True when the struct behind `pointer` was written by somebody who knows `member`. */
#define OCTAVO_HAS(pointer, type, member) \
  ((pointer)->struct_size >= offsetof(type, member) + sizeof(((const type*)0)->member))

typedef enum octavo_kind {
  OCTAVO_KIND_FORMAT = 1,
  OCTAVO_KIND_OPTIMIZER = 2,
  OCTAVO_KIND_MODEL = 3,
  OCTAVO_KIND_BACKEND = 4
} octavo_kind;

typedef enum octavo_status {
  OCTAVO_OK = 0,
  OCTAVO_FAILED = 1,       /* no better word */
  OCTAVO_BAD_ARGUMENT = 2, /* the caller broke the contract, or a parameter has a wrong value */
  OCTAVO_BAD_INPUT = 3,    /* the data of the input file */
  OCTAVO_UNSUPPORTED = 4,  /* this plugin cannot do that; the error says what it can */
  OCTAVO_NO_MEMORY = 6,    /* smaller tiles may work */
  OCTAVO_DEVICE_LOST = 7,  /* sticky: the device is of no use for the rest of the run */
  OCTAVO_REFUSED = 8,      /* format.grid: this layer cannot be stored in this format */
  OCTAVO_CANCELLED = 9     /* host.cancelled returned non-zero and the plugin stopped */
} octavo_status;

typedef struct octavo_error {
  uint32_t struct_size;
  uint32_t reserved;
  char message[1024]; /* "[operation] what, where, which value, what was expected" */
  char hint[512];     /* what to do about it, or empty */
} octavo_error;

typedef enum octavo_param_type {
  OCTAVO_PARAM_BOOL = 1,
  OCTAVO_PARAM_INTEGER = 2,
  OCTAVO_PARAM_NUMBER = 3,
  OCTAVO_PARAM_TEXT = 4,
  OCTAVO_PARAM_CHOICE = 5
} octavo_param_type;

/* One parameter: `--set id.name=value`, or `id:name=value` after --format and --optimizer. */
typedef struct octavo_param {
  const char* name; /* [a-z][a-z0-9_]* */
  uint32_t type;    /* octavo_param_type */
  uint32_t reserved;
  const char* default_value; /* as it would be typed */
  double minimum;            /* INTEGER and NUMBER: inclusive range */
  double maximum;
  const char* choices; /* CHOICE: "row|tensor" */
  const char* help;    /* one sentence */
} octavo_param;

/* The host hands a plugin one value for each declared parameter, in the order of the declaration. */
typedef struct octavo_param_value {
  const char* name;
  uint32_t type;
  uint32_t reserved;
  int64_t integer;  /* BOOL (0 or 1) and INTEGER */
  double number;    /* NUMBER */
  const char* text; /* TEXT and CHOICE; of the other types the value as text */
} octavo_param_value;

typedef enum octavo_log_level {
  OCTAVO_LOG_DEBUG = 0,
  OCTAVO_LOG_INFO = 1,
  OCTAVO_LOG_WARNING = 2,
  OCTAVO_LOG_ERROR = 3
} octavo_log_level;

struct octavo_operations;

/* What the host offers. All functions may be called from any thread. */
typedef struct octavo_host {
  uint32_t struct_size;
  uint16_t abi_major;
  uint16_t abi_minor;
  void* context; /* first argument of every function below */
  void (*log)(void* context, uint32_t level, const char* message);
  /* Non-zero when the run should stop: return OCTAVO_CANCELLED within two seconds. */
  int32_t (*cancelled)(void* context);
  /* Waits until `bytes` fit under --max-ram beside the other leases, then counts them. For what a plugin
   * allocates itself; the host leases inputs and the tiles of whole layers. A lease larger than the limit is
   * granted when nothing else is held, and one for the first unfinished layer at once. Delays work and never
   * changes it. */
  octavo_status (*lease_bytes)(void* context, uint64_t bytes, octavo_error* error);
  void (*return_bytes)(void* context, uint64_t bytes);
  /* Runs task(task_context, i) for i in [0, count) over idle lanes and waits for all. A task calls neither
   * parallel nor lease_bytes. Results must not depend on which thread runs what: add sums up in the order of
   * i afterwards. */
  octavo_status (*parallel)(void* context, int64_t count,
                            octavo_status (*task)(void* task_context, int64_t index), void* task_context,
                            octavo_error* error);
  /* Philox4x32-10 keyed by (seed, name): words [first, first + count) of that stream. The same everywhere. */
  void (*random)(void* context, uint64_t seed, const char* name, uint64_t first, uint64_t count,
                 uint32_t* words);
  /* Every operation in plain C++ on host memory: the meaning of each, and what backends are tested against.
   */
  const struct octavo_operations* reference;
} octavo_host;

typedef struct octavo_device {
  uint32_t struct_size;
  int32_t index;
  char name[128];
  uint64_t memory_bytes; /* 0 when it is the machine's own memory */
} octavo_device;

#define OCTAVO_MAX_DEVICES 16

typedef struct octavo_probe {
  uint32_t struct_size;
  uint32_t score; /* 0: cannot run here; up to 1000, the highest is taken */
  char reason[512];
  uint32_t device_count;
  uint32_t absent; /* with score 0: what it would run on is not in this machine, which is nobody's fault */
  octavo_device devices[OCTAVO_MAX_DEVICES];
} octavo_probe;

typedef struct octavo_plugin {
  uint32_t struct_size;
  uint16_t abi_major;
  uint16_t abi_minor;
  uint32_t kind;  /* octavo_kind */
  uint32_t flags; /* the kind's own, see its header */
  const char* id; /* [a-z][a-z0-9_]*, the stem of the library's file name */
  const char* version;
  const char* summary;
  const char* links; /* "" or "libtorch=2.11.0": a library that the process can hold one build of only */
  const octavo_param* params;
  uint64_t params_count;
  /* Can this plugin work here, and how well. NULL: always, score 1. Cheap, may be called more than once. */
  octavo_status (*probe)(const octavo_host* host, octavo_probe* probe, octavo_error* error);
  const void* api; /* octavo_format_api, octavo_optimizer_api, octavo_model_api or octavo_backend_api */
} octavo_plugin;

typedef const octavo_plugin* (*octavo_plugin_function)(void);

#ifdef __cplusplus
}
#endif

#endif
