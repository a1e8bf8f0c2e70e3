#include "plugin/search_path.hpp"

#include "base/error.hpp"

#include <boost/algorithm/string/split.hpp>
#include <fmt/format.h>

#include <cstdlib>

namespace octavo::plugin {
namespace {

namespace fs = std::filesystem;

SearchRoot root_of_option(const std::string& option) {
  const fs::path path = option.empty() ? fs::path() : fs::absolute(option).lexically_normal();
  if (!fs::exists(path)) {
    throw Error(ErrorCode::usage,
                fmt::format("[plugins] --plugin-path '{}' does not exist, a folder or a library was expected",
                            printable(option)));
  }
  return {path, true};
}

void add_environment_entry(const std::string& entry, SearchPath& made) {
  const fs::path path(entry);
  if (path.is_relative()) {  // an empty entry too: it would mean the current folder
    made.notes.push_back(fmt::format(
        "[plugins] OCTAVO_PLUGIN_PATH: '{}' is left out, an absolute path was expected", printable(entry)));
  } else if (!fs::exists(path)) {
    made.notes.push_back(
        fmt::format("[plugins] OCTAVO_PLUGIN_PATH: '{}' is left out, it does not exist", printable(entry)));
  } else {
    made.roots.push_back({path.lexically_normal(), true});
  }
}

}  // namespace

SearchPath search_path(const std::vector<std::string>& options, const std::string& environment,
                       const fs::path& program) {
  SearchPath made;
  for (const std::string& option : options) made.roots.push_back(root_of_option(option));
  if (!environment.empty()) {
    std::vector<std::string> entries;
    boost::split(entries, environment, [](char c) { return c == ':'; });
    for (const std::string& entry : entries) add_environment_entry(entry, made);
  }
  const fs::path installed = program.parent_path().parent_path() / "lib" / "octavo" / "plugins";
  if (fs::exists(installed)) {
    made.roots.push_back({installed, false});
  } else {
    made.notes.push_back(fmt::format("[plugins] '{}' does not exist: octavo's own plugins are missing",
                                     printable(installed.string())));
  }
  return made;
}

std::string environment_plugin_path() {
  const char* value = ::secure_getenv("OCTAVO_PLUGIN_PATH");
  return value == nullptr ? "" : value;
}

fs::path program_path() {
  std::error_code failure;
  fs::path path = fs::read_symlink("/proc/self/exe", failure);
  if (failure) {
    throw Error(ErrorCode::failed,
                fmt::format("[plugins] the program's own path is not known: {}", failure.message()));
  }
  return path;
}

}  // namespace octavo::plugin
