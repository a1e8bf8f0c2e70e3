// Which GPUs this build can use.
#pragma once

#include <octavo/backend.hpp>

#include <span>

namespace octavo::cuda {

// Makes no context, so it costs what loading the driver does. Without a driver, or without a GPU that this
// build has code for: score 0 and the reason.
ProbeResult probe_devices();

// Code of one of `compiled` runs on a device of this capability: the same major number and not a newer minor
// one, or anything newer than the last, for which PTX is there.
bool runs_on(std::span<const int> compiled, int major, int minor);

}  // namespace octavo::cuda
