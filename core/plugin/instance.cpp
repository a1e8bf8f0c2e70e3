#include "plugin/instance.hpp"

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
  throw Error(ErrorCode::failed,
              fmt::format("[{}: {}] the plugin threw an exception across the boundary: {}", who, operation,
                          printable(what)),
              "this is a fault of the plugin; report it to its authors");
}

void throw_control_word(const std::string& who, std::string_view operation) {
  throw Error(ErrorCode::failed,
              fmt::format("[{}: {}] the plugin changed the floating-point control word of its thread", who,
                          operation),
              "this is a fault of the plugin (fast-math?); report it to its authors");
}

}  // namespace octavo::plugin
