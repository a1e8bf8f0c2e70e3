// Completion scripts for shells, made from the tables of commands and options, and the plugins that are there
// when the script is made.
#pragma once

#include <string>
#include <vector>

namespace octavo::cli {

struct PluginIds {
  std::vector<std::string> formats, optimizers, models, backends;
};

std::string bash_completion(const PluginIds& plugins);
std::string zsh_completion(const PluginIds& plugins);
std::string fish_completion(const PluginIds& plugins);

}  // namespace octavo::cli
