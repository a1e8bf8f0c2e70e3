// Where the log goes: standard error, in the amount that -q and -v ask for, and a file if one was named.
#pragma once

#include "options.hpp"
#include "terminal.hpp"

namespace octavo::cli {

// Makes spdlog's default logger write to `terminal` from the level of information on.
void start_logging(Terminal& terminal);

// Applies --quiet, --verbose and --log-file. Throws Error io if the file cannot be written.
void configure_logging(const Arguments& arguments, Terminal& terminal);

// Control characters as \xNN, but for line breaks and tabs: what a file or a plugin says may not steer a
// terminal.
std::string without_controls(std::string_view text);

}  // namespace octavo::cli
