// The help texts, made from the tables of commands and options.
#pragma once

#include "command.hpp"

#include <nlohmann/json.hpp>

#include <string>

namespace octavo::cli {

enum class HelpLength { common, all };

// What `octavo --help` prints: examples first, then the commands.
std::string program_help();
// Examples first, then usage and options; `common` leaves out the options of the tail.
std::string command_help(const Command& command, HelpLength length);
// The same for programs: "octavo.help/1" with every command, or with everything that one command takes.
nlohmann::ordered_json program_help_json();
nlohmann::ordered_json command_help_json(const Command& command);
// The options of these groups.
std::string section_help(const Command& command, const std::vector<std::string>& groups);

}  // namespace octavo::cli
