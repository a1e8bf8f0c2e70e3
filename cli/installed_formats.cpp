#include "installed_formats.hpp"

#include "base/error.hpp"
#include "plan/open_plugin.hpp"

#include <fmt/format.h>

#include <utility>

namespace octavo::cli {

std::vector<std::unique_ptr<plugin::Format>> installed_formats(Session& session) {
  std::vector<std::unique_ptr<plugin::Format>> formats;
  for (const plugin::Record& record : session.catalog().records()) {
    if (record.kind != OCTAVO_KIND_FORMAT || !plugin::is_usable(record)) continue;
    try {
      auto opened = plan::open_plugin<plugin::Format>(session.catalog(), OCTAVO_KIND_FORMAT, {record.id, {}},
                                                      {}, session.services().host());
      formats.push_back(std::make_unique<plugin::Format>(std::move(opened.handle)));
    } catch (const Error& error) {
      Session::note(fmt::format("format {} is left out: {}", record.id, error.what()));
    }
  }
  return formats;
}

}  // namespace octavo::cli
