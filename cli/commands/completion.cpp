#include "commands.hpp"
#include "shell_completion.hpp"

namespace octavo::cli {
namespace {

int run(const Arguments& arguments, Terminal& terminal) {
  const std::string shell = *arguments.text("shell");
  const std::string script = shell == "bash"  ? bash_completion()
                             : shell == "zsh" ? zsh_completion()
                                              : fish_completion();
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
      .summary = "Print a script that completes octavo's commands and options in a shell",
      .examples = {{"octavo completion bash > ~/.local/share/bash-completion/completions/octavo", "for bash"},
                   {"octavo completion zsh > \"${fpath[1]}/_octavo\"", "for zsh"},
                   {"octavo completion fish > ~/.config/fish/completions/octavo.fish", "for fish"}},
      .positional = {"shell", "bash|zsh|fish", 1, 1, {"bash", "zsh", "fish"}},
      .run = run};
}

}  // namespace octavo::cli
