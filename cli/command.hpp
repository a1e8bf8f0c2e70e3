// A command of the command line: what it is called, what it takes, and the function that does it.
#pragma once

#include "options.hpp"
#include "terminal.hpp"

#include <string>
#include <vector>

namespace octavo::cli {

struct Example {
  std::string command;  // "octavo inspect model.safetensors"
  std::string meaning;
};

// Options that print one part of the help: {"help-filters", {"-hf"}, "Model filters"}.
struct HelpSection {
  std::string option;
  std::vector<std::string> also;
  std::string group;  // the Option::group that is printed
};

struct Command {
  std::string name;
  std::string summary;                 // one line, no full stop
  std::vector<Example> examples = {};  // three of them open the help
  Positional positional = {};
  std::vector<Option> (*options)() = nullptr;  // its own ones, without the global ones; nullptr: none
  // Returns the exit code; failures are thrown as octavo::Error.
  int (*run)(const Arguments&, Terminal&) = nullptr;
  std::vector<HelpSection> sections = {};
  std::vector<std::string> program_names = {};  // a program of such a name is `octavo NAME`
};

// Every command there is, in the order of the help. To add one: a file in commands/, its declaration and its
// line in commands.cpp.
const std::vector<Command>& commands();

// nullptr if there is none.
const Command* find_command(const std::string& name);

// The command's own options and the global ones.
std::vector<Option> all_options(const Command& command);

}  // namespace octavo::cli
