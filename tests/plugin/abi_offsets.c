/* Compiles only if the boundary has the layout that abi_layout.h says. */
#include <octavo/abi/backend.h>
#include <octavo/abi/format.h>
#include <octavo/abi/grid.h>
#include <octavo/abi/model.h>
#include <octavo/abi/optimizer.h>
#include <octavo/abi/plugin.h>
#include <octavo/abi/tensor.h>

#define SIZE(TYPE, BYTES) _Static_assert(sizeof(TYPE) == (BYTES), "size of " #TYPE);
#define FROZEN(TYPE, BYTES) _Static_assert(sizeof(TYPE) == (BYTES), "size of " #TYPE);
#define MEMBER(TYPE, NAME, OFFSET) _Static_assert(offsetof(TYPE, NAME) == (OFFSET), #TYPE "." #NAME);
#define VALUE(NAME, NUMBER) _Static_assert((NAME) == (NUMBER), #NAME);

#include "abi_layout.h"
