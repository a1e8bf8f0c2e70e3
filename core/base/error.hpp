// The one exception of the host: what went wrong, how the process should exit, and what to do about it.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <string_view>

namespace octavo {

// The values are the exit codes of the command line.
enum class ErrorCode {
  failed = 1,         // anything that has no better word
  usage = 2,          // the command line is wrong
  bad_input = 3,      // an input file is invalid
  unsupported = 4,    // a model, format or container that octavo does not handle
  io = 5,             // disk, file system, permissions
  resources = 6,      // out of memory, or the device that was asked for failed
  verify = 7,         // verify found problems
  stopped = 75,       // a plugin ended its work because it was told to
  interrupted = 130,  // SIGINT
  terminated = 143,   // SIGTERM
};

// Text: "[operation] what, where (file, tensor, byte), which value, what was expected".
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& what, std::string hint = {});

  ErrorCode code() const { return code_; }
  const std::string& hint() const { return hint_; }

 private:
  ErrorCode code_;
  std::string hint_;
};

// `message` without the "[operation] " that it begins with, for a sentence that says the operation itself. A
// bracket around anything but words in small letters (a shape, a name) is no operation and stays.
std::string_view without_operation(std::string_view message);

// A name from a file as it may be shown on a terminal: control characters, characters that change the
// direction or the visibility of text, and bytes that are no UTF-8 are escaped as \xNN; other UTF-8 stays.
// Cut after 200 bytes of the name, which "..." then marks.
std::string printable(std::string_view name);

// The same of a whole sentence with such names in it, which is not cut.
std::string printable_text(std::string_view text);

}  // namespace octavo
