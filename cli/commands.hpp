// One function for each command; its definition is in commands/<name>.cpp.
#pragma once

#include "command.hpp"

namespace octavo::cli {

Command convert_command();
Command plan_command();
Command calibrate_from_lora_command();
Command inspect_command();
Command verify_command();
Command compare_command();
Command edit_command();
Command batch_command();
Command plugins_command();
Command doctor_command();
Command completion_command();
Command help_command();
Command version_command();

}  // namespace octavo::cli
