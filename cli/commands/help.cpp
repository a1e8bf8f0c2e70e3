#include "help.hpp"

#include "base/error.hpp"
#include "commands.hpp"
#include "suggest.hpp"

#include <fmt/format.h>

namespace octavo::cli {
namespace {

int run(const Arguments& arguments, Terminal& terminal) {
  const auto name = arguments.text("command");
  const bool json = arguments.flag("json");
  if (!name) return json ? terminal.print_json(program_help_json()) : terminal.print(program_help()), 0;
  const Command* command = find_command(*name);
  if (command == nullptr) {
    std::vector<std::string> names;
    for (const Command& known : commands()) names.push_back(known.name);
    throw Error(ErrorCode::usage, fmt::format("[command] there is no command '{}'", printable(*name)),
                suggestion(*name, names));
  }
  if (json) return terminal.print_json(command_help_json(*command)), 0;
  return terminal.print(command_help(*command, HelpLength::all)), 0;
}

}  // namespace

Command help_command() {
  return {.name = "help",
          .summary = "Explain a command with all of its options",
          .examples = {{"octavo help", "the commands"},
                       {"octavo help inspect", "everything that inspect takes"},
                       {"octavo inspect --help", "its common options"}},
          .positional = {"command", "[COMMAND]", 0, 1},
          .run = run};
}

}  // namespace octavo::cli
