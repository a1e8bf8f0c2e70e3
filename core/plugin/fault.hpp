// What several places say when a plugin breaks the contract, and how an error is told to a plugin.
#pragma once

#include "base/error.hpp"

#include <octavo/abi/plugin.h>

#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <string_view>

namespace octavo::plugin {

inline constexpr const char* kReportFault = "this is a fault of the plugin; report it to its authors";
inline constexpr const char* kRenewManifest = "rebuild the plugin, or run octavo-manifest on its library";

[[noreturn]] inline void throw_fault(const std::string& who, std::string_view operation,
                                     const std::string& what) {
  throw Error(ErrorCode::failed, fmt::format("[{}: {}] {}", who, operation, what), kReportFault);
}

// Fills `error`, which may be nullptr, and returns `status`.
inline octavo_status report(octavo_error* error, octavo_status status, const char* message) noexcept {
  if (error != nullptr && OCTAVO_HAS(error, octavo_error, hint)) {
    std::snprintf(error->message, sizeof error->message, "%s", message);
    error->hint[0] = '\0';
  }
  return status;
}

}  // namespace octavo::plugin
