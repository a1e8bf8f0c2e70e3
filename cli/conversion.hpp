// What `convert` and `plan` share: their options, and how these become settings.
#pragma once

#include "calibration_options.hpp"
#include "checkpoint/byte_sink.hpp"
#include "checkpoint/write_log.hpp"
#include "lora/merge_plan.hpp"
#include "options.hpp"
#include "plan/plan.hpp"
#include "run/device.hpp"
#include "run/run.hpp"
#include "terminal.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace octavo::cli {

class Session;

// A conversion as it was asked for on the command line.
struct Conversion {
  std::filesystem::path input;
  std::optional<std::filesystem::path> output;
  bool force = false;
  std::optional<std::filesystem::path> page;  // of --html
  plan::Settings settings;
  lora::Request loras;
  CalibrationRequest calibration;
  checkpoint::VerifyLevel verify = checkpoint::VerifyLevel::sampled;
  bool discard = false;
  bool durable = true;
  checkpoint::SinkKind sink = checkpoint::SinkKind::automatic;
  run::DeviceRequest device;
  std::vector<plugin::Setting> set;        // of all plugins, in the order given
  std::vector<FileIdentity> option_files;  // files that options were read from
  run::RunOptions run;
  uint64_t max_ram = 0;
  bool judges_outputs = false;              // on recorded rows, once the output is written
  std::optional<double> quality_threshold;  // in dB; given if every layer is to be reported
  std::vector<std::string>
      notes;  // what the user should know before anything runs: among the warnings of --json
};

std::vector<Option> conversion_options();

// Throws Error usage for values that are wrong or contradict one another.
Conversion read_conversion(const Arguments& arguments);

// What needs the installed plugins: flags that are parameters of an optimizer, and what --int8 agrees with.
// Says the notes, and one line for every flag without effect. Throws Error usage for a wrong value.
void complete_conversion(Conversion& conversion, const Arguments& arguments, Session& session);

std::filesystem::path output_path(const Conversion& conversion, const plan::Plan& plan);

// `octavo plan`, and `octavo convert --dry-run`. Returns the exit code. `checks_output`: fails as convert
// would for its output, once the plan is printed.
int show_plan(Conversion conversion, bool checks_output, const Arguments& arguments, Terminal& terminal);

}  // namespace octavo::cli
