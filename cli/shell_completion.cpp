#include "shell_completion.hpp"

#include "command.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

namespace octavo::cli {
namespace {

using Words = std::vector<std::string>;

Words words_of(const Option& option) {
  Words words = {"--" + option.name};
  if (option.letter != 0) words.push_back(fmt::format("-{}", option.letter));
  if (option.negatable) words.push_back("--no-" + option.name);
  return words;
}

Words joined(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

// What to propose for an option's value: its choices, or plugins where it takes the id of one.
Words values_of(const Option& option, const PluginIds& plugins) {
  if (!option.choices.empty()) return option.choices;
  if (option.name == "format") return plugins.formats;
  if (option.name == "optimizer") return plugins.optimizers;
  if (option.name == "model") return joined({"auto", "none"}, plugins.models);
  if (option.name == "custom-type" || option.name == "fallback") return joined({"int8"}, plugins.formats);
  if (option.name == "device") return joined({"auto"}, plugins.backends);
  return {};
}

Words operands_of(const Command& command, const PluginIds& plugins) {
  if (command.name != "plugins") return command.positional.choices;
  return joined(joined(plugins.formats, plugins.optimizers), joined(plugins.models, plugins.backends));
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

std::string bash_case(const Command& command, const PluginIds& plugins) {
  std::string values;
  std::vector<std::string> words;
  for (const Option& option : all_options(command)) {
    const std::vector<std::string> names = words_of(option);
    words.insert(words.end(), names.begin(), names.end());
    const Words proposed = values_of(option, plugins);
    if (proposed.empty() || !option.bare.empty()) continue;
    values += fmt::format(
        "      case \"$before\" in {}) COMPREPLY=($(compgen -W '{}' -- \"$word\")); return ;; esac\n",
        fmt::join(names, "|"), fmt::join(proposed, " "));
  }
  return fmt::format("    {})\n{}      options='{}' choices='{}' ;;\n", command.name, values,
                     fmt::join(words, " "), fmt::join(operands_of(command, plugins), " "));
}

std::string zsh_option(const Option& option, const PluginIds& plugins) {
  std::string tail = fmt::format("[{}]", zsh_text(option.help));
  if (!option.value.empty() && option.bare.empty()) {
    tail += fmt::format(":{}:", option.value);
    const Words proposed = values_of(option, plugins);
    tail += proposed.empty() ? (is_folder(option) ? "_files -/" : "_files")
                             : fmt::format("({})", fmt::join(proposed, " "));
  }
  std::string lines;
  for (const std::string& word : words_of(option))
    lines += " \\\n        " + quoted(fmt::format("*{}{}", word, tail));
  return lines;
}

std::string fish_option(const Command& command, const Option& option, const PluginIds& plugins) {
  std::string line =
      fmt::format("complete -c octavo -n '__fish_seen_subcommand_from {}' -l {}", command.name, option.name);
  if (option.letter != 0) line += fmt::format(" -s {}", option.letter);
  if (!option.value.empty() && option.bare.empty()) {
    const Words proposed = values_of(option, plugins);
    line += proposed.empty() ? " -r -F" : fmt::format(" -x -a '{}'", fmt::join(proposed, " "));
  }
  return line + " -d " + quoted(option.help) + "\n";
}

}  // namespace

std::string bash_completion(const PluginIds& plugins) {
  std::vector<std::string> names;
  std::string cases;
  for (const Command& command : commands()) {
    names.push_back(command.name);
    cases += bash_case(command, plugins);
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

std::string zsh_completion(const PluginIds& plugins) {
  std::string names, cases;
  for (const Command& command : commands()) {
    names += fmt::format(" {}", quoted(command.name + ":" + zsh_text(command.summary)));
    std::string options;
    for (const Option& option : all_options(command)) options += zsh_option(option, plugins);
    const Words choices = operands_of(command, plugins);
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

std::string fish_completion(const PluginIds& plugins) {
  std::string text;
  for (const Command& command : commands()) {
    text += fmt::format("complete -c octavo -n '__fish_use_subcommand' -a {} -d {}\n", command.name,
                        quoted(command.summary));
    const Words operands = operands_of(command, plugins);
    if (!operands.empty()) {
      text += fmt::format("complete -c octavo -n '__fish_seen_subcommand_from {}' -x -a '{}'\n", command.name,
                          fmt::join(operands, " "));
    }
    for (const Option& option : all_options(command)) text += fish_option(command, option, plugins);
  }
  return text;
}

}  // namespace octavo::cli
