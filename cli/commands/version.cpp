// Which octavo this is. `octavo --version` is its first line, `octavo doctor` looks at the machine as well.
#include "base/error.hpp"
#include "build.hpp"
#include "commands.hpp"
#include "plugin/backend.hpp"
#include "plugin/search_path.hpp"
#include "session.hpp"

#include <octavo/abi/plugin.h>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace octavo::cli {
namespace {

// The instructions that the CPU backend chose, which stand first in what it says of the machine; "" where it
// cannot work here.
std::string simd(Session& session) {
  try {
    const plugin::Probe probe =
        plugin::probe(session.catalog().open(OCTAVO_KIND_BACKEND, "cpu"), session.services().host());
    return probe.score > 0 ? probe.reason.substr(0, probe.reason.find(',')) : "";
  } catch (const Error& error) {
    spdlog::debug("{}", error.what());
    return "";
  }
}

std::vector<std::string> plugin_folders(const Arguments& arguments) {
  std::vector<std::string> folders;
  const plugin::SearchPath path = plugin::search_path(
      arguments.texts("plugin-path"), plugin::environment_plugin_path(), plugin::program_path());
  for (const plugin::SearchRoot& root : path.roots) folders.push_back(root.path.string());
  return folders;
}

nlohmann::ordered_json or_null(const std::string& text) {
  return text.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(text);
}

int run(const Arguments& arguments, Terminal& terminal) {
  Session session(arguments);
  const std::string instructions = simd(session), sources = commit();
  const std::string boundary = fmt::format("{}.{}", OCTAVO_ABI_MAJOR, OCTAVO_ABI_MINOR);
  const std::vector<std::string> folders = plugin_folders(arguments);
  if (arguments.flag("json")) {
    terminal.print_json({{"schema", "octavo.version/1"},
                         {"version", OCTAVO_VERSION},
                         {"commit", or_null(sources)},
                         {"compiler", compiler()},
                         {"boundary", boundary},
                         {"simd", or_null(instructions)},
                         {"plugin_folders", folders}});
    return 0;
  }
  terminal.print("octavo " OCTAVO_VERSION "\n");
  terminal.print(fmt::format("  commit    {}\n", sources.empty() ? "not known" : sources));
  terminal.print(fmt::format("  compiler  {}\n", compiler()));
  terminal.print(fmt::format("  boundary  {}\n", boundary));
  terminal.print(fmt::format(
      "  CPU       {}\n", instructions.empty() ? "its backend cannot work here" : printable(instructions)));
  for (const std::string& folder : folders)
    terminal.print(fmt::format("  plugins   {}\n", printable(folder)));
  return 0;
}

}  // namespace

Command version_command() {
  return {.name = "version",
          .summary = "Say which octavo this is: version, commit, compiler, instructions, plugin folders",
          .examples = {{"octavo version", "for a report of a problem"},
                       {"octavo version --json", "the same for programs; also octavo --version --json"},
                       {"octavo --version", "one line"}},
          .run = run};
}

}  // namespace octavo::cli
