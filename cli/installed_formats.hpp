// Every format plugin that is installed, with its default parameters: what recognises the layers of a file.
#pragma once

#include "plugin/format.hpp"
#include "session.hpp"

#include <memory>
#include <vector>

namespace octavo::cli {

// In the order of the catalog. One that cannot be opened is said on standard error and left out.
std::vector<std::unique_ptr<plugin::Format>> installed_formats(Session& session);

}  // namespace octavo::cli
