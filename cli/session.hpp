// What a command that works with plugins needs: the catalog of what was found, and the host's services.
#pragma once

#include "options.hpp"
#include "plugin/catalog.hpp"
#include "plugin/host_services.hpp"

#include <string>

namespace octavo::cli {

class Session {
 public:
  // Looks for plugins (--plugin-path, OCTAVO_PLUGIN_PATH, beside the program) and logs what was odd about
  // them. `max_ram`: for byte leases; 0: no limit.
  explicit Session(const Arguments& arguments, uint64_t max_ram = 0);

  plugin::Catalog& catalog() { return catalog_; }
  plugin::HostServices& services() { return services_; }
  // Something the user should know; on standard error, once.
  static void note(const std::string& text);

 private:
  plugin::Catalog catalog_;
  plugin::HostServices services_;
};

}  // namespace octavo::cli
