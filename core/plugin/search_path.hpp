// Where plugins are looked for, in this order: what the user names, OCTAVO_PLUGIN_PATH, beside the program.
// Never the current folder, never a bare name handed to the system's loader.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace octavo::plugin {

// One place: a library, a folder of libraries, or a folder with the sub-folders optimizers, formats, models,
// backends.
struct SearchRoot {
  std::filesystem::path path;  // absolute
  bool named_by_user = false;  // --plugin-path or OCTAVO_PLUGIN_PATH
};

struct SearchPath {
  std::vector<SearchRoot> roots;
  std::vector<std::string> notes;  // entries that were left out, with the reason
};

// `options`: values of --plugin-path; one that does not exist is an Error usage. `environment`:
// OCTAVO_PLUGIN_PATH, separated by colons; entries that are empty, relative or missing are left out with a
// note. `program`: path of the running program; its own plugins are in <program's
// folder>/../lib/octavo/plugins.
SearchPath search_path(const std::vector<std::string>& options, const std::string& environment,
                       const std::filesystem::path& program);

// OCTAVO_PLUGIN_PATH; "" if it is not set, or if the program runs with more rights than its user has.
std::string environment_plugin_path();

// Absolute path of the running program. Throws Error failed where the system does not say.
std::filesystem::path program_path();

}  // namespace octavo::plugin
