// The program around the commands: which one is meant, help and version, and how a failure is reported.
#pragma once

#include <string>
#include <vector>

namespace octavo::cli {

// `program`: argv[0]; `tokens`: the rest. Returns the exit code; throws nothing.
int run_program(const std::string& program, const std::vector<std::string>& tokens) noexcept;

}  // namespace octavo::cli
