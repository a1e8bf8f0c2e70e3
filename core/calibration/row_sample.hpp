// Which rows of many are kept: a uniform sample that depends on nothing but the seed and a name.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace octavo::calibration {

// `kept` of the row numbers [0, rows), ascending; all of them where there are no more. Reservoir sampling
// (Vitter, "Random sampling with a reservoir", 1985, algorithm R) with the counter-based random numbers of
// the stream (seed, name).
std::vector<int64_t> sampled_rows(int64_t rows, int64_t kept, uint64_t seed, std::string_view name);

}  // namespace octavo::calibration
