// The options of a command as a table: parsing, help and shell completion are all made from it.
//
// An option's name is written with hyphens; on the command line underscores mean the same, unambiguous
// prefixes are enough, and a value follows after `=` or a space. A switch can be given a truth value
// (`--force=false`).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace octavo::cli {

// Another way to write an option; with `value` it stands for the option and that value ("-vv" for
// --verbose=debug).
struct Spelling {
  std::string text;
  std::string value = {};
};

struct Option {
  std::string name;                       // "max-ram"
  char letter = 0;                        // 'o' for -o
  std::string value = {};                 // what the value is called in the help ("SIZE"); empty for a switch
  std::string help = {};                  // one sentence, no full stop
  std::vector<std::string> choices = {};  // the only values that are taken (in any case), if there are any
  std::string bare = {};                  // the value if the option is given without one
  std::string environment = {};           // the variable that is read if the option is not given
  std::string group = "Options";          // heading in the help
  bool repeats = false;                   // every occurrence counts; otherwise the last one
  bool many = false;                      // takes one or more values at once (and repeats)
  bool negatable = false;                 // a switch that also exists as --no-NAME
  bool tail = false;                      // shown by --help-all only
  std::vector<Spelling> also = {};        // "--group-size", "-fpmm"; written with hyphens
};

// What stands on the command line beside options. `most` < 0: any number.
struct Positional {
  std::string name;   // under which Arguments has the values; may be an option's name as well
  std::string shown;  // "FILE..."
  int least = 0;
  int most = 0;
  std::vector<std::string> choices = {};  // the only values that are taken, if there are any
};

// The parsed command line. Asking for a name that was not declared throws std::logic_error.
class Arguments {
 public:
  explicit Arguments(const std::vector<Option>& options, const Positional& positional);

  void add(const std::string& name, std::string value);
  void set(const std::string& name, std::string value);  // forgets the earlier values

  bool has(std::string_view name) const;  // given, on the command line or by its environment variable
  // A switch: given, or given as --no-NAME (false), or `otherwise`.
  bool flag(std::string_view name, bool otherwise = false) const;
  int count(std::string_view name) const;  // occurrences of a switch: 2 for -vv
  std::optional<std::string> text(std::string_view name) const;
  const std::vector<std::string>& texts(std::string_view name) const;
  // Throw Error usage, naming the option and the range, for text that is no number (no size) or out of range.
  std::optional<int64_t> integer(std::string_view name, int64_t least, int64_t most) const;
  std::optional<double> number(std::string_view name, double least, double most) const;
  // "8G" (8 x 1024^3), "11GB" (11 x 10^9): bytes.
  std::optional<uint64_t> size(std::string_view name, uint64_t least = 1) const;

 private:
  std::map<std::string, std::vector<std::string>, std::less<>> values_;  // every declared name is a key
};

// Options that every command has.
const std::vector<Option>& global_options();

// `tokens`: the command line after the command's name. Environment variables are looked at for options that
// are not given. Throws Error usage for an unknown option (with the nearest names), a missing or wrong value,
// or too many or too few positionals.
Arguments parse_options(const std::vector<Option>& options, const Positional& positional,
                        const std::vector<std::string>& tokens);

// `--scaling_mode=a_b` -> `--scaling-mode=a_b`: hyphens in the name, the value as it was. Other tokens stay.
std::string with_hyphens(const std::string& token);

}  // namespace octavo::cli
