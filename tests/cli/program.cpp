#include "program.hpp"

#include "unit/temporary_folder.hpp"

#include <cstdlib>
#include <sys/wait.h>

namespace octavo::test {
namespace {

std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result += "'";
}

std::string clean_environment(const Environment& environment) {
  std::string text =
      "env -u NO_COLOR -u CLICOLOR_FORCE -u OCTAVO_PLUGIN_PATH -u OCTAVO_LANES -u OCTAVO_SIMD ";
  text += "OCTAVO_DEVICE=cpu TERM=xterm ";
  for (const auto& [name, value] : environment) text.append(quoted(name + "=" + value)).append(" ");
  return text;
}

Outcome run_line(const std::string& line) {
  const TemporaryFolder folder;
  const std::string out = folder / "out", error = folder / "error";
  const int status = std::system((line + " </dev/null >" + quoted(out) + " 2>" + quoted(error)).c_str());
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return {code, read_file(out), read_file(error)};
}

}  // namespace

Outcome run(const std::vector<std::string>& arguments, const Environment& environment,
            const std::string& program) {
  std::string line = clean_environment(environment) + quoted(program);
  for (const std::string& argument : arguments) line += " " + quoted(argument);
  return run_line(line);
}

Outcome run_shell(const std::string& command) {
  return run_line(clean_environment({{"octavo", OCTAVO_PROGRAM}}) + "bash -c " + quoted(command));
}

}  // namespace octavo::test
