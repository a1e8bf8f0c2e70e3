// The reference: every backend operation in plain scalar C++ on host memory.
//
// It is the definition of class A (abi/backend.h): where a backend's bits differ, the backend is wrong. It is
// written to be read, not to be fast. All arithmetic is f32 with round to nearest even, true division and no
// contraction, unless a file says otherwise.
#pragma once

#include <octavo/abi/backend.h>

namespace octavo::reference {

// The table that the host hands out as octavo_host.reference. Lives as long as the process; every entry is
// set, ignores its lane (which may be NULL), and may be called from any thread.
const octavo_operations& operations();

}  // namespace octavo::reference
