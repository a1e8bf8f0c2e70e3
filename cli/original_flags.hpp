// The flags of convert_to_quant that are not options of octavo under the same name: what each becomes here.
//
// A table: the parameter of an optimizer that a flag sets, or one line that says why it has no effect. Flags
// that are octavo's own options as well (--scaling-mode, --custom-layers, ...) are not in it.
#pragma once

#include "command.hpp"
#include "options.hpp"
#include "plan/settings.hpp"
#include "plugin/catalog.hpp"

#include <string>
#include <vector>

namespace octavo::cli {

// Headings in the help, which print as sections of their own (-hf, -he, -ha, -hlr, -hm).
inline constexpr const char* kFilterFlags = "Model filters";
inline constexpr const char* kLearnedFlags = "Learned rounding";
inline constexpr const char* kAdvancedFlags = "Learned rounding, advanced";
inline constexpr const char* kFeedbackFlags = "GPTQ and QuIP";
inline constexpr const char* kCalibrationFlags = "Calibration";
inline constexpr const char* kMemoryFlags = "Memory and logging of convert_to_quant";

std::vector<Option> original_options();

// -hf, -he, -ha, ... each print a part of the options.
std::vector<HelpSection> flag_sections();

// Filters that were asked for by a flag of their name (--flux2).
std::vector<std::string> models_by_flag(const Arguments& arguments);

// "original" is "adaptive"; without --optimizer a flag of the learning rate selects it too.
std::string optimizer_by_flags(const Arguments& arguments);

// The format that --quip-store-transformed and --quip-requant-* ask for, or "" for none. Throws Error usage
// for a transformed storage that could not be undone.
std::string format_by_flags(const Arguments& arguments, const std::string& optimizer);

// Gives the flags' values to the optimizers in use that declare such a parameter and were not given a value.
// Returns one line for every flag that was given and has no effect. Throws Error usage for a wrong value.
std::vector<std::string> apply_original_flags(const Arguments& arguments, plan::Settings& settings,
                                              const plugin::Catalog& catalog);

}  // namespace octavo::cli
