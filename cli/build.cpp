#include "build.hpp"

#ifndef OCTAVO_COMMIT
#define OCTAVO_COMMIT ""
#endif

namespace octavo::cli {

std::string compiler() {
#if defined(__clang__)
  return __VERSION__;  // names itself
#else
  return "g++ " __VERSION__;
#endif
}

std::string commit() { return OCTAVO_COMMIT; }

}  // namespace octavo::cli
