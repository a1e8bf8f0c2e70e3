// What a conversion may have left behind, or lost: companions without their layer, layers without their
// companions, and header entries that say something else than the tensors.
#pragma once

#include "checkpoint/reader.hpp"
#include "stored/survey.hpp"

#include <vector>

namespace octavo::report {

// Looks at everything that belongs to no recognised layer. Codes of findings: codes-without-marker,
// scale-leftover, scale-without-weight, marker-without-weight, marker-unknown, scaled-fp8-stale,
// metadata-not-json, metadata-layers-missing, metadata-stale, metadata-disagrees, metadata-incomplete.
// What the survey has found about the same tensor is not said again.
std::vector<plugin::Finding> find_leftovers(const checkpoint::Checkpoint& file, const stored::Survey& survey);

}  // namespace octavo::report
