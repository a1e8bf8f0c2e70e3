#include "help.hpp"

#include "table.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace octavo::cli {
namespace {

constexpr size_t kNameColumn = 32;
constexpr size_t kLineWidth = 110;

std::string option_name(const Option& option) {
  std::string text = option.letter == 0 ? "    " : fmt::format("-{}, ", option.letter);
  for (const Spelling& spelling : option.also) {
    if (spelling.text.size() == 2) text = spelling.text + ", ";
  }
  text += (option.negatable ? "--[no-]" : "--") + option.name;
  if (option.value.empty()) return text;
  const std::string value =
      option.choices.empty() ? option.value : fmt::format("{}", fmt::join(option.choices, "|"));
  text += option.bare.empty() ? " " + value : "[=" + value + "]";
  return option.many ? text + "..." : text;
}

std::string option_help(const Option& option) {
  std::string text = option.help;
  if (!option.environment.empty()) text += " [" + option.environment + "]";
  return text;
}

// "  NAME   text", the text broken into lines below itself.
std::string entry(const std::string& name, const std::string& text) {
  std::string line = "  " + name;
  std::string result;
  if (line.size() + 2 > kNameColumn) {
    result = line + "\n";
    line.clear();
  }
  line.resize(kNameColumn, ' ');
  size_t from = 0;
  while (from < text.size()) {
    size_t end = std::min(text.find(' ', from), text.size());
    const std::string word = text.substr(from, end - from);
    if (line.size() + word.size() > kLineWidth && line.size() > kNameColumn) {
      result += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
      line.assign(kNameColumn, ' ');
    }
    line += word + " ";
    from = end + 1;
  }
  return result + line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
}

std::string examples_text(const std::vector<Example>& examples) {
  Table table({{"Examples:"}, {""}});
  for (const Example& example : examples) table.add({"  " + example.command, example.meaning});
  std::string text = table.text();
  const size_t line_end = text.find('\n');
  return "Examples:" + text.substr(line_end);
}

std::string options_text(const std::vector<Option>& options, HelpLength length) {
  std::vector<std::string> groups;
  for (const Option& option : options) {
    if (std::find(groups.begin(), groups.end(), option.group) == groups.end()) groups.push_back(option.group);
  }
  std::string text;
  for (const std::string& group : groups) {
    std::string lines;
    for (const Option& option : options) {
      if (option.group != group || (option.tail && length == HelpLength::common)) continue;
      lines += entry(option_name(option), option_help(option));
    }
    if (!lines.empty()) text += fmt::format("\n{}:\n{}", group, lines);
  }
  return text;
}

const char* kEnvironment =
    "\nEnvironment:\n"
    "  OCTAVO_PLUGIN_PATH            folders of plugins, separated by colons\n"
    "  OCTAVO_DEVICE, OCTAVO_LANES   defaults of --device and --lanes\n"
    "  OCTAVO_SIMD                   scalar, avx2 or avx512: the instructions of the CPU backend\n";

nlohmann::ordered_json option_json(const Option& option) {
  nlohmann::ordered_json json = {{"name", option.name}, {"help", option.help}, {"group", option.group}};
  if (option.letter != 0) json["letter"] = std::string(1, option.letter);
  for (const Spelling& spelling : option.also) json["also"].push_back(spelling.text);
  if (!option.value.empty()) json["value"] = option.value;
  if (!option.choices.empty()) json["choices"] = option.choices;
  if (!option.environment.empty()) json["environment"] = option.environment;
  json["repeats"] = option.repeats || option.many;
  json["negatable"] = option.negatable;
  return json;
}

}  // namespace

nlohmann::ordered_json program_help_json() {
  nlohmann::ordered_json json = {{"schema", "octavo.help/1"}, {"commands", nlohmann::ordered_json::array()}};
  for (const Command& command : commands())
    json["commands"].push_back({{"name", command.name}, {"summary", command.summary}});
  return json;
}

nlohmann::ordered_json command_help_json(const Command& command) {
  nlohmann::ordered_json json = {{"schema", "octavo.help/1"},
                                 {"command", command.name},
                                 {"summary", command.summary},
                                 {"arguments", command.positional.shown},
                                 {"examples", nlohmann::ordered_json::array()},
                                 {"options", nlohmann::ordered_json::array()}};
  for (const Example& example : command.examples)
    json["examples"].push_back({{"command", example.command}, {"meaning", example.meaning}});
  for (const Option& option : all_options(command)) json["options"].push_back(option_json(option));
  return json;
}

std::string program_help() {
  std::vector<Example> examples;
  for (const Command& command : commands()) {
    if (!command.examples.empty() && examples.size() < 3) examples.push_back(command.examples.front());
  }
  std::string text = examples_text(examples);
  text += "\nUsage: octavo COMMAND [options]\n\nCommands:\n";
  for (const Command& command : commands()) text += entry(command.name, command.summary);
  text += "\n`octavo COMMAND --help` explains a command; `octavo --version` says which octavo this is.\n";
  return text + kEnvironment;
}

std::string command_help(const Command& command, HelpLength length) {
  std::vector<Example> examples = command.examples;
  if (length == HelpLength::common && examples.size() > 3) examples.resize(3);
  std::string text = examples_text(examples);
  text += fmt::format("\nUsage: octavo {} [options]{}{}\n{}.\n", command.name,
                      command.positional.shown.empty() ? "" : " ", command.positional.shown, command.summary);
  const std::vector<Option> options = all_options(command);
  text += options_text(options, length);
  const bool more =
      std::any_of(options.begin(), options.end(), [](const Option& option) { return option.tail; });
  if (length == HelpLength::all) return text + kEnvironment;
  return more ? text + "\n--help-all shows every option.\n" : text;
}

std::string section_help(const Command& command, const std::vector<std::string>& groups) {
  std::vector<Option> options = all_options(command);
  std::erase_if(options, [&](const Option& option) {
    return std::find(groups.begin(), groups.end(), option.group) == groups.end();
  });
  return options_text(options, HelpLength::all).substr(1);
}

}  // namespace octavo::cli
