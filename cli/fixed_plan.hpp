// The plan that a run carries out, once nothing in it depends on the data any more.
#pragma once

#include "checkpoint/reader.hpp"
#include "conversion.hpp"
#include "conversion_sources.hpp"
#include "plan/plan.hpp"
#include "run/device.hpp"
#include "run/run.hpp"
#include "session.hpp"

#include <functional>

namespace octavo::cli {

// The device, for plans that need one. Waits until it is chosen, and throws what is wrong with it.
using GetDevice = std::function<run::ChosenDevice&()>;

// Plans are made until no decision needs the data: first what must stay as it is (--nonfinite keep and its
// like) is found by reading, then the layers that would lose the most by a rehearsal. The output is checked
// before the data is read. Throws as planning and running do, what check_output throws, and Error unsupported
// for a --target-size that cannot be met.
plan::Plan fixed_plan(const Conversion& conversion, const ConversionSources& sources,
                      const checkpoint::Checkpoint& source, Session& session, const GetDevice& device,
                      const run::RunOptions& options);

}  // namespace octavo::cli
