#include "commands.hpp"
#include "session.hpp"
#include "shell_completion.hpp"

namespace octavo::cli {
namespace {

std::vector<std::string> ids(Session& session, octavo_kind kind) {
  std::vector<std::string> found;
  for (const plugin::Record& record : session.catalog().records()) {
    if (record.kind == kind && plugin::is_usable(record)) found.push_back(record.id);
  }
  return found;
}

PluginIds installed(Session& session) {
  return {.formats = ids(session, OCTAVO_KIND_FORMAT),
          .optimizers = ids(session, OCTAVO_KIND_OPTIMIZER),
          .models = ids(session, OCTAVO_KIND_MODEL),
          .backends = ids(session, OCTAVO_KIND_BACKEND)};
}

int run(const Arguments& arguments, Terminal& terminal) {
  const std::string shell = *arguments.text("shell");
  Session session(arguments);
  const PluginIds plugins = installed(session);
  const std::string script = shell == "bash"  ? bash_completion(plugins)
                             : shell == "zsh" ? zsh_completion(plugins)
                                              : fish_completion(plugins);
  if (arguments.flag("json")) {
    terminal.print_json({{"schema", "octavo.completion/1"}, {"shell", shell}, {"script", script}});
  } else {
    terminal.print(script);
  }
  return 0;
}

}  // namespace

Command completion_command() {
  return {
      .name = "completion",
      .summary = "Print a script that completes octavo's commands, options and plugins in a shell",
      .examples = {{"octavo completion bash > ~/.local/share/bash-completion/completions/octavo", "for bash"},
                   {"octavo completion zsh > \"${fpath[1]}/_octavo\"", "for zsh"},
                   {"octavo completion fish > ~/.config/fish/completions/octavo.fish", "for fish"}},
      .positional = {"shell", "bash|zsh|fish", 1, 1, {"bash", "zsh", "fish"}},
      .run = run};
}

}  // namespace octavo::cli
