#include "shell_completion.hpp"

#include "command.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

namespace octavo::cli {
namespace {

std::vector<std::string> words_of(const Option& option) {
  std::vector<std::string> words = {"--" + option.name};
  if (option.letter != 0) words.push_back(fmt::format("-{}", option.letter));
  if (option.negatable) words.push_back("--no-" + option.name);
  return words;
}

bool is_folder(const Option& option) { return option.value == "FOLDER"; }

// For use between single quotes.
std::string quoted(const std::string& text) {
  std::string result;
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return fmt::format("'{}'", result);
}

// In zsh's [..] and ((..)) a colon and a bracket have a meaning.
std::string zsh_text(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == ':' || c == '[' || c == ']' || c == '\\') result += '\\';
    result += c;
  }
  return result;
}

std::string bash_case(const Command& command) {
  std::string values;
  std::vector<std::string> words;
  for (const Option& option : all_options(command)) {
    const std::vector<std::string> names = words_of(option);
    words.insert(words.end(), names.begin(), names.end());
    if (option.choices.empty() || !option.bare.empty()) continue;
    values += fmt::format(
        "      case \"$before\" in {}) COMPREPLY=($(compgen -W '{}' -- \"$word\")); return ;; esac\n",
        fmt::join(names, "|"), fmt::join(option.choices, " "));
  }
  return fmt::format("    {})\n{}      options='{}' choices='{}' ;;\n", command.name, values,
                     fmt::join(words, " "), fmt::join(command.positional.choices, " "));
}

std::string zsh_option(const Option& option) {
  std::string tail = fmt::format("[{}]", zsh_text(option.help));
  if (!option.value.empty() && option.bare.empty()) {
    tail += fmt::format(":{}:", option.value);
    tail += option.choices.empty() ? (is_folder(option) ? "_files -/" : "_files")
                                   : fmt::format("({})", fmt::join(option.choices, " "));
  }
  std::string lines;
  for (const std::string& word : words_of(option))
    lines += " \\\n        " + quoted(fmt::format("*{}{}", word, tail));
  return lines;
}

std::string fish_option(const Command& command, const Option& option) {
  std::string line =
      fmt::format("complete -c octavo -n '__fish_seen_subcommand_from {}' -l {}", command.name, option.name);
  if (option.letter != 0) line += fmt::format(" -s {}", option.letter);
  if (!option.value.empty() && option.bare.empty()) {
    line += option.choices.empty() ? " -r -F" : fmt::format(" -x -a '{}'", fmt::join(option.choices, " "));
  }
  return line + " -d " + quoted(option.help) + "\n";
}

}  // namespace

std::string bash_completion() {
  std::vector<std::string> names;
  std::string cases;
  for (const Command& command : commands()) {
    names.push_back(command.name);
    cases += bash_case(command);
  }
  return fmt::format(R"(_octavo() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" command='' options='' choices='' i
  for ((i = 1; i < COMP_CWORD; ++i)); do
    case "${{COMP_WORDS[i]}}" in -*) ;; *) command="${{COMP_WORDS[i]}}"; break ;; esac
  done
  case "$command" in
    '') COMPREPLY=($(compgen -W '{} --help --version' -- "$word")); return ;;
{}  esac
  if [[ "$word" == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$word"))
  elif [[ -n "$choices" ]]; then
    COMPREPLY=($(compgen -W "$choices" -- "$word"))
  else
    COMPREPLY=($(compgen -f -- "$word"))
  fi
}}
complete -o filenames -F _octavo octavo
)",
                     fmt::join(names, " "), cases);
}

std::string zsh_completion() {
  std::string names, cases;
  for (const Command& command : commands()) {
    names += fmt::format(" {}", quoted(command.name + ":" + zsh_text(command.summary)));
    std::string options;
    for (const Option& option : all_options(command)) options += zsh_option(option);
    const auto& choices = command.positional.choices;
    const std::string operand = choices.empty() ? "_files" : fmt::format("({})", fmt::join(choices, " "));
    cases += fmt::format("    {})\n      _arguments -s{} \\\n        '*:argument:{}' ;;\n", command.name,
                         options, operand);
  }
  return fmt::format(R"(#compdef octavo
_octavo() {{
  local -a commands
  commands=({})
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command="$words[2]"
  shift words
  (( CURRENT-- ))
  case "$command" in
{}  esac
}}
compdef _octavo octavo
)",
                     names, cases);
}

std::string fish_completion() {
  std::string text;
  for (const Command& command : commands()) {
    text += fmt::format("complete -c octavo -n '__fish_use_subcommand' -a {} -d {}\n", command.name,
                        quoted(command.summary));
    if (!command.positional.choices.empty()) {
      text += fmt::format("complete -c octavo -n '__fish_seen_subcommand_from {}' -x -a '{}'\n", command.name,
                          fmt::join(command.positional.choices, " "));
    }
    for (const Option& option : all_options(command)) text += fish_option(command, option);
  }
  return text;
}

}  // namespace octavo::cli
