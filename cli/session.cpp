#include "session.hpp"

#include "plugin/search_path.hpp"
#include "reference/operations.hpp"

#include <spdlog/spdlog.h>

namespace octavo::cli {
namespace {

plugin::SearchPath search_path(const Arguments& arguments) {
  return plugin::search_path(arguments.texts("plugin-path"), plugin::environment_plugin_path(),
                             plugin::program_path());
}

}  // namespace

Session::Session(const Arguments& arguments, uint64_t max_ram)
    : catalog_(search_path(arguments)), services_(reference::operations(), max_ram) {
  for (const std::string& text : catalog_.notes()) note(text);
}

void Session::note(const std::string& text) { spdlog::warn("{}", text); }

}  // namespace octavo::cli
