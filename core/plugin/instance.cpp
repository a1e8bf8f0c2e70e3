#include "plugin/instance.hpp"

#include "plugin/fault.hpp"

#include <fmt/format.h>

namespace octavo::plugin {

ErrorCode code_of(octavo_status status) {
  switch (status) {
    case OCTAVO_BAD_ARGUMENT:
      return ErrorCode::usage;
    case OCTAVO_BAD_INPUT:
      return ErrorCode::bad_input;
    case OCTAVO_UNSUPPORTED:
    case OCTAVO_REFUSED:
      return ErrorCode::unsupported;
    case OCTAVO_NO_MEMORY:
    case OCTAVO_DEVICE_LOST:
      return ErrorCode::resources;
    case OCTAVO_CANCELLED:
      return ErrorCode::stopped;
    default:
      return ErrorCode::failed;
  }
}

void throw_status(const std::string& who, std::string_view operation, octavo_status status,
                  const octavo_error& error) {
  std::string message(without_operation(text_of(error.message)));
  if (message.empty())
    message = fmt::format("failed with status {} and without a message", static_cast<int>(status));
  const ErrorCode code = code_of(status);
  const std::string text = fmt::format("[{}: {}] {}", who, operation, message);
  if (status == OCTAVO_NO_MEMORY) throw OutOfMemory(code, text, text_of(error.hint));
  if (status == OCTAVO_DEVICE_LOST) throw DeviceLost(code, text, text_of(error.hint));
  throw Error(code, text, text_of(error.hint));
}

void throw_foreign(const std::string& who, std::string_view operation, const char* what) {
  throw_fault(who, operation,
              fmt::format("the plugin threw an exception across the boundary: {}", printable(what)));
}

void throw_control_word(const std::string& who, std::string_view operation) {
  throw_fault(who, operation,
              "the plugin changed the floating-point control word of its thread (fast-math?)");
}

}  // namespace octavo::plugin
