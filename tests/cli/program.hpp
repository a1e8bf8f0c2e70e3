// Runs the real program and keeps what it says.
#pragma once

#include <nlohmann/json.hpp>

#include <map>
#include <string>
#include <vector>

namespace octavo::test {

struct Outcome {
  int code = -1;  // exit code; 128 + n for signal n
  std::string out;
  std::string error;

  nlohmann::json json() const { return nlohmann::json::parse(out); }
};

using Environment = std::map<std::string, std::string>;

// Standard input is empty; settings of whoever runs the tests (OCTAVO_*, NO_COLOR, CLICOLOR_FORCE) are not
// handed on, `environment` is. `program`: the built one unless given.
Outcome run(const std::vector<std::string>& arguments, const Environment& environment = {},
            const std::string& program = OCTAVO_PROGRAM);

// The same through a shell, for redirections: "$octavo" is the program.
Outcome run_shell(const std::string& command);

}  // namespace octavo::test
