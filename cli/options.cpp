// The tokens are brought into one spelling first (hyphens, other names, truth values of switches, values that
// may be left out); Boost.Program_options then splits them, and its results are taken as they come: no value
// is stored in its variables map, because the last occurrence of an option is to count.
#include "options.hpp"

#include "base/bytes.hpp"
#include "base/error.hpp"
#include "base/words.hpp"
#include "suggest.hpp"

#include <boost/make_shared.hpp>
#include <boost/program_options/errors.hpp>
#include <boost/program_options/options_description.hpp>
#include <boost/program_options/parsers.hpp>
#include <boost/program_options/positional_options.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <stdexcept>

namespace octavo::cli {
namespace {

namespace po = boost::program_options;

[[noreturn]] void refuse(const std::string& what, std::string hint = {}) {
  throw Error(ErrorCode::usage, "[options] " + what, std::move(hint));
}

bool is_long(std::string_view token) { return token.size() > 2 && token.starts_with("--"); }

struct Split {
  std::string name;  // without the leading "--"
  std::optional<std::string> value;
};

Split split(std::string_view token) {
  const size_t equals = token.find('=');
  Split parts{std::string(token.substr(2, equals == token.npos ? token.npos : equals - 2)), {}};
  if (equals != token.npos) parts.value = std::string(token.substr(equals + 1));
  return parts;
}

// The option that `name` means: by its full name, else as the only one that begins so.
const Option* resolve(const std::vector<Option>& options, const std::string& name) {
  const Option* found = nullptr;
  for (const Option& option : options) {
    if (option.name == name) return &option;
    if (!option.name.starts_with(name)) continue;
    if (found != nullptr) return nullptr;
    found = &option;
  }
  return found;
}

std::string other_spelling(const std::vector<Option>& options, const std::string& token) {
  const size_t equals = token.find('=');
  const std::string name = token.substr(0, equals);
  for (const Option& option : options) {
    for (const Spelling& spelling : option.also) {
      if (spelling.text != name) continue;
      if (!spelling.value.empty()) return "--" + option.name + "=" + spelling.value;
      return "--" + option.name + (equals == token.npos ? "" : token.substr(equals));
    }
  }
  return token;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// The one of `choices` that `value` means, whatever its case; nullptr if there is none.
const std::string* find_choice(const std::vector<std::string>& choices, const std::string& value) {
  const auto found = std::find_if(choices.begin(), choices.end(),
                                  [&](const std::string& choice) { return lower(choice) == lower(value); });
  return found == choices.end() ? nullptr : &*found;
}

bool truth_of(const std::string& name, const std::string& value) {
  if (find_choice({"true", "1", "yes", "on"}, value) != nullptr) return true;
  if (find_choice({"false", "0", "no", "off"}, value) != nullptr) return false;
  refuse(fmt::format("--{} is a switch; its value '{}' is neither true nor false", name, value));
}

// `--NAME=false` -> `--no-NAME`, and `--NAME` with a value that may be left out -> `--NAME=value`.
std::string attach_value(const std::vector<Option>& options, const std::string& token,
                         const std::string* next, bool& next_used) {
  const Split parts = split(token);
  const Option* option = resolve(options, parts.name);
  if (option == nullptr) return token;
  if (option->value.empty()) {
    if (!parts.value) return token;
    return (truth_of(option->name, *parts.value) ? "--" : "--no-") + option->name;
  }
  if (option->bare.empty() || parts.value) return token;
  next_used = next != nullptr && find_choice(option->choices, *next) != nullptr;
  return "--" + option->name + "=" + (next_used ? *next : option->bare);
}

std::vector<std::string> one_spelling(const std::vector<Option>& options,
                                      const std::vector<std::string>& tokens) {
  std::vector<std::string> result;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] == "--") {
      result.insert(result.end(), tokens.begin() + static_cast<std::ptrdiff_t>(i), tokens.end());
      break;
    }
    std::string token = other_spelling(options, with_hyphens(tokens[i]));
    bool next_used = false;
    if (is_long(token)) {
      const std::string* next = i + 1 < tokens.size() ? &tokens[i + 1] : nullptr;
      token = attach_value(options, token, next, next_used);
    }
    result.push_back(std::move(token));
    if (next_used) ++i;
  }
  return result;
}

po::options_description describe(const std::vector<Option>& options, const Positional& positional) {
  po::options_description description;
  bool has_positional = false;
  for (const Option& option : options) {
    const std::string names = option.letter == 0 ? option.name : option.name + "," + option.letter;
    auto* value = po::value<std::vector<std::string>>();
    if (option.value.empty()) value->zero_tokens();
    if (option.many) value->multitoken();
    description.add(boost::make_shared<po::option_description>(names.c_str(), value));
    if (option.value.empty()) {
      description.add(boost::make_shared<po::option_description>(
          ("no-" + option.name).c_str(), po::value<std::vector<std::string>>()->zero_tokens()));
    }
    has_positional = has_positional || option.name == positional.name;
  }
  if (!has_positional && !positional.name.empty()) {
    description.add(boost::make_shared<po::option_description>(positional.name.c_str(),
                                                               po::value<std::vector<std::string>>()));
  }
  return description;
}

std::vector<std::string> names_of(const std::vector<Option>& options) {
  std::vector<std::string> names;
  for (const Option& option : options) {
    names.push_back(option.name);
    if (option.negatable) names.push_back("no-" + option.name);
  }
  return names;
}

[[noreturn]] void refuse_unknown(const std::vector<Option>& options, std::string name) {
  const bool is_word = is_long(name);
  name = is_word ? split(name).name : name;
  const std::string shown = is_word ? "--" + name : name;
  std::string hint = suggestion(name, names_of(options), "--");
  if (hint.empty()) hint = "--help lists the options";
  refuse(fmt::format("there is no option '{}'", printable(shown)), hint);
}

std::vector<po::option> split_tokens(const std::vector<Option>& options, const Positional& positional,
                                     const std::vector<std::string>& tokens) {
  const po::options_description description = describe(options, positional);
  po::positional_options_description places;
  if (!positional.name.empty()) places.add(positional.name.c_str(), -1);
  try {
    po::command_line_parser parser(tokens);
    parser.options(description).positional(places).style(po::command_line_style::unix_style);
    return parser.run().options;
  } catch (const po::unknown_option& error) {
    const std::string name = error.get_option_name();
    refuse_unknown(options, name.starts_with("-") ? name : "--" + name);
  } catch (const po::ambiguous_option& error) {
    refuse(fmt::format("'{}' is the beginning of several options", error.get_option_name()),
           fmt::format("--{}", fmt::join(error.alternatives(), ", --")));
  } catch (const po::too_many_positional_options_error&) {
    refuse("this command takes options only");
  } catch (const po::error& error) {
    refuse(error.what());
  }
}

std::string chosen(const Option& option, const std::string& value) {
  if (option.choices.empty()) return value;
  if (const std::string* choice = find_choice(option.choices, value)) return *choice;
  refuse(fmt::format("--{}: '{}' is not one of {}", option.name, printable(value),
                     fmt::join(option.choices, ", ")),
         suggestion(value, option.choices));
}

// `positional`: what the option is also called without its name; every one given counts.
void take(Arguments& arguments, const Option& option, const std::string& positional,
          const std::vector<std::string>& values) {
  if (option.value.empty()) return arguments.add(option.name, "true");
  for (const std::string& value : values) {
    if (option.repeats || option.many || option.name == positional) {
      arguments.add(option.name, chosen(option, value));
    } else {
      arguments.set(option.name, chosen(option, value));
    }
  }
}

void check_positionals(const Arguments& arguments, const Positional& positional) {
  if (positional.name.empty()) return;
  const auto& values = arguments.texts(positional.name);
  if (static_cast<int>(values.size()) < positional.least) {
    refuse(fmt::format("{} is missing", positional.shown), "--help shows examples");
  }
  if (positional.most >= 0 && static_cast<int>(values.size()) > positional.most) {
    refuse(fmt::format("'{}' is one argument too many; expected {}",
                       printable(values[static_cast<size_t>(positional.most)]), positional.shown));
  }
  for (const std::string& value : values) {
    if (positional.choices.empty() || find_choice(positional.choices, value) != nullptr) continue;
    refuse(fmt::format("'{}' is not one of {}", printable(value), fmt::join(positional.choices, ", ")),
           suggestion(value, positional.choices));
  }
}

void read_environment(Arguments& arguments, const std::vector<Option>& options) {
  for (const Option& option : options) {
    if (option.environment.empty() || arguments.has(option.name)) continue;
    const char* value = std::getenv(option.environment.c_str());
    if (value == nullptr || *value == '\0') continue;
    arguments.set(option.name, chosen(option, value));
  }
}

}  // namespace

Arguments::Arguments(const std::vector<Option>& options, const Positional& positional) {
  for (const Option& option : options) values_[option.name];
  if (!positional.name.empty()) values_[positional.name];
}

void Arguments::add(const std::string& name, std::string value) {
  values_.at(name).push_back(std::move(value));
}

void Arguments::set(const std::string& name, std::string value) { values_.at(name) = {std::move(value)}; }

const std::vector<std::string>& Arguments::texts(std::string_view name) const {
  const auto found = values_.find(name);
  if (found == values_.end()) throw std::logic_error("option --" + std::string(name) + " was not declared");
  return found->second;
}

bool Arguments::has(std::string_view name) const { return !texts(name).empty(); }

bool Arguments::flag(std::string_view name, bool otherwise) const {
  const auto& values = texts(name);
  return values.empty() ? otherwise : values.back() == "true";
}

int Arguments::count(std::string_view name) const {
  const auto& values = texts(name);
  return static_cast<int>(std::count(values.begin(), values.end(), "true"));
}

std::optional<std::string> Arguments::text(std::string_view name) const {
  const auto& values = texts(name);
  return values.empty() ? std::nullopt : std::optional(values.back());
}

std::optional<int64_t> Arguments::integer(std::string_view name, int64_t least, int64_t most) const {
  const auto value = text(name);
  if (!value) return std::nullopt;
  int64_t result = 0;
  const auto [end, problem] = std::from_chars(value->data(), value->data() + value->size(), result);
  const bool whole = problem == std::errc{} && end == value->data() + value->size();
  if (!whole || result < least || result > most) {
    refuse(
        fmt::format("--{}: '{}' is not a whole number from {} to {}", name, printable(*value), least, most));
  }
  return result;
}

std::optional<double> Arguments::number(std::string_view name, double least, double most) const {
  const auto value = text(name);
  if (!value) return std::nullopt;
  double result = 0;
  const auto [end, problem] = std::from_chars(value->data(), value->data() + value->size(), result);
  const bool whole = problem == std::errc{} && end == value->data() + value->size();
  if (!whole || !std::isfinite(result) || result < least || result > most) {
    refuse(fmt::format("--{}: '{}' is not a number from {} to {}", name, printable(*value), least, most));
  }
  return result;
}

std::optional<uint64_t> Arguments::size(std::string_view name, uint64_t least) const {
  const auto value = text(name);
  if (!value) return std::nullopt;
  try {
    const uint64_t bytes = parse_bytes(*value);
    if (bytes >= least) return bytes;
  } catch (const Error& error) {
    refuse(fmt::format("--{}: {}", name, without_operation(error.what())), error.hint());
  }
  refuse(fmt::format("--{}: '{}' is too small; expected at least {}", name, printable(*value),
                     plural(least, "byte")));
}

const std::vector<Option>& global_options() {
  static const std::vector<Option> options = {
      {.name = "json", .help = "one JSON document on standard output"},
      {.name = "help", .letter = 'h', .help = "examples and the common options"},
      {.name = "help-all", .help = "every option"},
      {.name = "quiet", .letter = 'q', .help = "errors only on standard error; -qq: nothing"},
      {.name = "verbose",
       .value = "LEVEL",
       .help = "more on standard error, of conversions every layer; -vv and -vvv: everything",
       .choices = {"minimal", "normal", "verbose", "debug"},
       .bare = "verbose",
       .also = {{"-v"}, {"-vv", "debug"}, {"-vvv", "debug"}}},
      {.name = "color",
       .value = "WHEN",
       .help = "colours on a terminal (NO_COLOR and CLICOLOR_FORCE are obeyed)",
       .choices = {"auto", "always", "never"},
       .tail = true,
       .also = {{"--colour"}}},
      {.name = "log-file", .value = "FILE", .help = "append the log to a file too, with times", .tail = true},
      {.name = "plugin-path",
       .value = "PATH",
       .help = "a plugin, or a folder of plugins, to look at first (before OCTAVO_PLUGIN_PATH)",
       .repeats = true,
       .tail = true},
  };
  return options;
}

std::string with_hyphens(const std::string& token) {
  if (!is_long(token)) return token;
  std::string result = token;
  const size_t end = std::min(token.find('='), token.size());
  std::replace(result.begin(), result.begin() + static_cast<std::ptrdiff_t>(end), '_', '-');
  return result;
}

Arguments parse_options(const std::vector<Option>& options, const Positional& positional,
                        const std::vector<std::string>& tokens) {
  Arguments arguments(options, positional);
  for (const po::option& part : split_tokens(options, positional, one_spelling(options, tokens))) {
    const auto named = [&](const std::string& name) {
      return std::find_if(options.begin(), options.end(),
                          [&](const Option& option) { return option.name == name; });
    };
    if (const auto option = named(part.string_key); option != options.end()) {
      take(arguments, *option, positional.name, part.value);
    } else if (part.string_key.starts_with("no-")) {
      arguments.add(part.string_key.substr(3), "false");
    } else {
      for (const std::string& value : part.value) arguments.add(part.string_key, value);
    }
  }
  read_environment(arguments, options);
  check_positionals(arguments, positional);
  return arguments;
}

}  // namespace octavo::cli
