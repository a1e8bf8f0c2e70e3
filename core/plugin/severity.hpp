// How much a finding matters (octavo_finding.severity).
#pragma once

#include <cstdint>

namespace octavo::plugin {

inline constexpr uint32_t kNote = 0;     // worth knowing
inline constexpr uint32_t kWarning = 1;  // some loader may stumble, or something is odd
inline constexpr uint32_t kError = 2;    // the file is wrong

inline const char* severity_name(uint32_t severity) {
  return severity == kNote ? "note" : severity == kWarning ? "warning" : "error";
}

}  // namespace octavo::plugin
