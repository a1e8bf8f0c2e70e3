// Does a backend compute what it should on this machine? Every operation on a tile of 64 x 256, against the
// reference.
#pragma once

#include "plugin/backend.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace octavo::report {

enum class CheckOutcome {
  right,
  wrong,    // other values than the reference's
  failed,   // an error instead of a result
  missing,  // the backend has no such operation: the reference does the work on host memory
};

struct OperationCheck {
  std::string operation;  // "quantize_nearest, convrot"
  CheckOutcome outcome = CheckOutcome::right;
  std::string detail;  // the reason, or how far off; "" if right
};

const char* name(CheckOutcome outcome);

// Opens one lane on `device`. Class A operations must give the reference's bits, the others values that are
// near. Throws Error if no lane can be opened.
std::vector<OperationCheck> self_test(const plugin::Backend& backend, int32_t device,
                                      const octavo_host& host);

}  // namespace octavo::report
