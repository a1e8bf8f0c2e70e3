// The plan that a run carries out, once nothing in it depends on the data any more.
#pragma once

#include "checkpoint/reader.hpp"
#include "conversion.hpp"
#include "conversion_sources.hpp"
#include "plan/plan.hpp"
#include "run/device.hpp"
#include "run/run.hpp"
#include "session.hpp"

namespace octavo::cli {

// Plans are made until no decision needs the data: first what must stay as it is (--nonfinite keep and its
// like) is found by reading, then the layers that would lose the most by a rehearsal. Throws as planning and
// running do, and Error unsupported for a --target-size that cannot be met.
plan::Plan fixed_plan(const Conversion& conversion, const ConversionSources& sources,
                      const checkpoint::Checkpoint& source, Session& session, run::ChosenDevice& device,
                      const run::RunOptions& options);

}  // namespace octavo::cli
