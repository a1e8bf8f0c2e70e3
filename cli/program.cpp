#include "program.hpp"

#include "base/error.hpp"
#include "command.hpp"
#include "help.hpp"
#include "logging.hpp"
#include "suggest.hpp"
#include "terminal.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <new>

namespace octavo::cli {
namespace {

struct Invocation {
  const Command* command = nullptr;
  std::string name = "octavo";      // of the command, for JSON
  std::vector<std::string> tokens;  // without the command
};

bool contains(const std::vector<std::string>& tokens, const std::string& wanted) {
  return std::any_of(tokens.begin(), tokens.end(),
                     [&](const std::string& token) { return with_hyphens(token) == wanted; });
}

// True if `token` is a global option whose value is the next token.
bool takes_next(const std::string& token) {
  const std::string name = with_hyphens(token);
  const auto& options = global_options();
  return std::any_of(options.begin(), options.end(), [&](const Option& option) {
    return !option.value.empty() && option.bare.empty() && name == "--" + option.name;
  });
}

[[noreturn]] void refuse_command(const std::string& name) {
  std::vector<std::string> names;
  for (const Command& command : commands()) names.push_back(command.name);
  std::string hint = suggestion(name, names);
  if (hint.empty()) hint = "octavo --help lists the commands";
  throw Error(ErrorCode::usage, fmt::format("[command] there is no command '{}'", printable(name)), hint);
}

// The first word that is not an option, or the name that the program goes by.
void find_command_in(const std::string& program, const std::vector<std::string>& tokens,
                     Invocation& invocation) {
  const std::string stem = std::filesystem::path(program).stem().string();
  invocation.tokens = tokens;
  for (const Command& command : commands()) {
    const auto& names = command.program_names;
    if (std::find(names.begin(), names.end(), stem) == names.end()) continue;
    invocation.command = &command;
    invocation.name = command.name;
    return;
  }
  size_t i = 0;
  while (i < tokens.size() && tokens[i].size() > 1 && tokens[i].front() == '-')
    i += takes_next(tokens[i]) ? 2 : 1;
  if (i >= tokens.size()) return;
  invocation.command = find_command(tokens[i]);
  if (invocation.command == nullptr) refuse_command(tokens[i]);
  invocation.name = tokens[i];
  invocation.tokens.erase(invocation.tokens.begin() + static_cast<std::ptrdiff_t>(i));
}

// One line, or the document of `octavo version`, with the options that it takes.
int print_version(std::vector<std::string> tokens, bool json, Terminal& terminal) {
  if (!json) return terminal.print("octavo " OCTAVO_VERSION "\n"), 0;
  std::erase_if(tokens, [](const std::string& token) { return with_hyphens(token) == "--version"; });
  const Command& command = *find_command("version");
  return command.run(parse_options(all_options(command), command.positional, tokens), terminal);
}

int run_without_command(const std::vector<std::string>& tokens, Terminal& terminal) {
  const bool json = contains(tokens, "--json");
  if (contains(tokens, "--version")) return print_version(tokens, json, terminal);
  if (contains(tokens, "--help") || contains(tokens, "-h") || contains(tokens, "--help-all")) {
    return json ? terminal.print_json(program_help_json()) : terminal.print(program_help()), 0;
  }
  std::vector<Option> options = global_options();
  options.push_back({.name = "version"});
  parse_options(options, {}, tokens);  // an unknown option is what is wrong, before the missing command
  throw Error(ErrorCode::usage, "[command] no command was given", "octavo --help lists the commands");
}

// Help is given wherever it is asked for, whatever else the command line holds.
bool print_help(const Invocation& invocation, Terminal& terminal) {
  const Command& command = *invocation.command;
  const auto end = std::find(invocation.tokens.begin(), invocation.tokens.end(), "--");
  const std::vector<std::string> tokens(invocation.tokens.begin(), end);
  const bool json = contains(tokens, "--json");
  for (const HelpSection& section : command.sections) {
    bool asked = contains(tokens, "--" + section.option);
    for (const std::string& also : section.also) asked = asked || contains(tokens, also);
    if (asked && !json) return terminal.print(section_help(command, section.groups)), true;
    if (asked) return terminal.print_json(command_help_json(command)), true;
  }
  const bool all = contains(tokens, "--help-all");
  if (!all && !contains(tokens, "--help") && !contains(tokens, "-h")) return false;
  if (json) return terminal.print_json(command_help_json(command)), true;
  return terminal.print(command_help(command, all ? HelpLength::all : HelpLength::common)), true;
}

int run_command(const Invocation& invocation, Terminal& terminal) {
  const Command& command = *invocation.command;
  if (print_help(invocation, terminal)) return 0;
  const Arguments arguments = parse_options(all_options(command), command.positional, invocation.tokens);
  if (const auto color = arguments.text("color")) {
    terminal.set_color(*color == "always"  ? ColorChoice::always
                       : *color == "never" ? ColorChoice::never
                                           : ColorChoice::automatic);
  }
  configure_logging(arguments, terminal);
  return command.run(arguments, terminal);
}

// The exit code stays that of `error`, also where standard output takes no document (a full disk, say, which
// may be the error).
int report(const Error& error, const Invocation& invocation, bool json, Terminal& terminal) {
  terminal.status_line().clear();
  spdlog::error("{}{}{}", error.what(), error.hint().empty() ? "" : "\nhint: ", error.hint());
  if (json && !terminal.has_printed_json()) {
    try {
      terminal.print_json({{"schema", "octavo." + invocation.name + "/1"}, {"error", error_json(error)}});
    } catch (const Error& second) {
      spdlog::error("{}", second.what());
    }
  }
  return static_cast<int>(error.code());
}

int run_reporting(const std::string& program, const std::vector<std::string>& tokens, Terminal& terminal) {
  Invocation invocation;
  const bool json = contains(tokens, "--json");
  try {
    find_command_in(program, tokens, invocation);
    if (invocation.command == nullptr) return run_without_command(tokens, terminal);
    return run_command(invocation, terminal);
  } catch (const Error& error) {
    return report(error, invocation, json, terminal);
  } catch (const std::bad_alloc&) {
    return report(Error(ErrorCode::resources, "[memory] there is not enough memory",
                        "--lanes with a smaller number needs less"),
                  invocation, json, terminal);
  } catch (const std::exception& error) {
    return report(Error(ErrorCode::failed, error.what()), invocation, json, terminal);
  }
}

}  // namespace

int run_program(const std::string& program, const std::vector<std::string>& tokens) noexcept {
  try {
    Terminal terminal;
    start_logging(terminal);
    const int code = run_reporting(program, tokens, terminal);
    spdlog::shutdown();
    return code;
  } catch (...) {  // the report itself failed: no memory left
    return static_cast<int>(ErrorCode::failed);
  }
}

}  // namespace octavo::cli
