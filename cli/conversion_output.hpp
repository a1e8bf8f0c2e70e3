// Where a conversion writes, and what can be known to go wrong there before a weight is read.
#pragma once

#include "checkpoint/reader.hpp"
#include "checkpoint/writer.hpp"
#include "conversion.hpp"
#include "conversion_sources.hpp"
#include "plan/plan.hpp"
#include "run/output.hpp"

namespace octavo::cli {

checkpoint::OutputOptions options_of_output(const Conversion& conversion, const ConversionSources& sources,
                                            const checkpoint::Checkpoint& source);

// The output of a plan, in one file or several. Nothing is written yet.
run::Output output_of(const Conversion& conversion, const plan::Plan& plan);

// What the run would find out when it begins to write: target and room of `output`, which is that of `plan`,
// and the target of the page. Where the data decides about the size, the least that it may be needs room.
// Throws Error usage or io.
void check_output(const Conversion& conversion, const checkpoint::OutputOptions& options,
                  const plan::Plan& plan, const run::Output& output);

}  // namespace octavo::cli
