// Checkpoints that are headers only, as far as rules are concerned: every tensor is F16 of 1 x 1.
#pragma once

#include "checkpoint/reader.hpp"

#include <string>
#include <vector>

namespace octavo::test {

checkpoint::Checkpoint checkpoint_with(const std::vector<std::string>& names);

}  // namespace octavo::test
