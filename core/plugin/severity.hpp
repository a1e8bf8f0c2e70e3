// How much a finding matters (octavo_finding.severity).
#pragma once

#include <octavo/abi/format.h>

#include <cstdint>

namespace octavo::plugin {

inline constexpr uint32_t kNote = OCTAVO_SEVERITY_NOTE;
inline constexpr uint32_t kWarning = OCTAVO_SEVERITY_WARNING;
inline constexpr uint32_t kError = OCTAVO_SEVERITY_ERROR;

inline const char* severity_name(uint32_t severity) {
  return severity == kNote ? "note" : severity == kWarning ? "warning" : "error";
}

}  // namespace octavo::plugin
