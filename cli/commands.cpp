#include "commands.hpp"

#include <algorithm>

namespace octavo::cli {

const std::vector<Command>& commands() {
  static const std::vector<Command> table = {
      convert_command(),              //
      plan_command(),                 //
      inspect_command(),              //
      verify_command(),               //
      compare_command(),              //
      edit_command(),                 //
      batch_command(),                //
      plugins_command(),              //
      doctor_command(),               //
      calibrate_from_lora_command(),  //
      completion_command(),           //
      help_command(),                 //
      version_command(),              //
  };
  return table;
}

const Command* find_command(const std::string& name) {
  const auto& table = commands();
  const auto found =
      std::find_if(table.begin(), table.end(), [&](const Command& command) { return command.name == name; });
  return found == table.end() ? nullptr : &*found;
}

std::vector<Option> all_options(const Command& command) {
  std::vector<Option> options = command.options == nullptr ? std::vector<Option>{} : command.options();
  options.insert(options.end(), global_options().begin(), global_options().end());
  return options;
}

}  // namespace octavo::cli
