// Whether an output that exists is the one that a conversion would write.
#pragma once

#include "checkpoint/reader.hpp"
#include "plan/plan.hpp"

#include <filesystem>
#include <string>

namespace octavo::cli {

// "" if the output was made from this source with these settings by this version, as its provenance says, if
// it holds the tensors of the plan, and if it is no older than the source; else the first reason why not.
std::string out_of_date(const std::filesystem::path& output, const plan::Plan& plan,
                        const checkpoint::Checkpoint& source);

}  // namespace octavo::cli
