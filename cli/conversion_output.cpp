#include "conversion_output.hpp"

#include "base/error.hpp"
#include "checkpoint/preflight.hpp"
#include "run/signals.hpp"

#include <fmt/format.h>

#include <filesystem>

namespace octavo::cli {
namespace {

// Bytes of tensors alone where the data decides which layers stay: a header that names fewer of them is
// shorter.
uint64_t least_bytes(const plan::Plan& plan, const run::Output& output) {
  if (plan.size_exact) return output.file_bytes();
  uint64_t bytes = plan.bytes_out;
  for (const auto& layer : plan.layers) {
    if (layer->bytes_out > layer->bytes_in) bytes -= layer->bytes_out - layer->bytes_in;
  }
  return bytes;
}

// Not where an input, the output or its folder of shards is.
void check_page(const std::filesystem::path& page, const std::filesystem::path& output,
                const checkpoint::OutputOptions& options) {
  const std::filesystem::path at = std::filesystem::weakly_canonical(page);
  const std::filesystem::path made = std::filesystem::weakly_canonical(output);
  if (at == made || at.parent_path() == made) {
    throw Error(ErrorCode::usage,
                fmt::format("[html] {} is the output or lies in it", printable(page.string())),
                "choose another file for the page");
  }
  checkpoint::check_target(page, checkpoint::OutputKind::file, options.force, options.inputs);
}

}  // namespace

checkpoint::OutputOptions options_of_output(const Conversion& conversion, const ConversionSources& sources,
                                            const checkpoint::Checkpoint& source) {
  checkpoint::OutputOptions options;
  options.force = conversion.force;
  options.verify = conversion.verify;
  options.inputs = source.identities();
  for (const auto& others : {sources.other_inputs(), conversion.option_files})
    options.inputs.insert(options.inputs.end(), others.begin(), others.end());
  options.durable = conversion.durable;
  options.discard = conversion.discard;
  options.sink = conversion.sink;
  options.check_stop = [] { run::StopSignals::check(); };
  return options;
}

run::Output output_of(const Conversion& conversion, const plan::Plan& plan) {
  const std::optional<checkpoint::ShardRule>& shards = conversion.settings.shards;
  return run::Output(plan, output_path(conversion, plan), shards ? &*shards : nullptr);
}

void check_output(const Conversion& conversion, const checkpoint::OutputOptions& options,
                  const plan::Plan& plan, const run::Output& output) {
  if (conversion.page) check_page(*conversion.page, output.path(), options);
  if (options.discard) return;
  const bool sharded = output.is_sharded();
  const auto kind = sharded ? checkpoint::OutputKind::folder : checkpoint::OutputKind::file;
  const std::filesystem::path path = checkpoint::output_name(output.path(), kind);
  checkpoint::check_target(path, kind, options.force, options.inputs);
  const uint64_t bytes = least_bytes(plan, output);
  const uint64_t inexact_largest = sharded ? 0 : bytes;  // the layers that stay move the cuts between shards
  checkpoint::check_room(checkpoint::folder_of(path), bytes,
                         plan.size_exact ? output.largest_file() : inexact_largest);
}

}  // namespace octavo::cli
