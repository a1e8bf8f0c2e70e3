// What an output is called where nobody says it.
#pragma once

#include "plan/plan.hpp"

#include <filesystem>
#include <string>

namespace octavo::plan {

// "model" of a/model.safetensors, of a/model.safetensors.index.json, of a folder a/model/ and, in that
// folder, of ".".
std::string stem_of(const std::filesystem::path& input);

// <stem><ending> beside the input.
std::filesystem::path file_beside(const std::filesystem::path& input, const std::string& ending);

// <stem><suffix>.safetensors beside the input; without the ending for a folder of several files.
std::filesystem::path output_beside(const std::filesystem::path& input, const std::string& suffix,
                                    bool sharded);

// What a default name says about a conversion: "_<format>[_<optimizer, if not the host's default>]".
std::string output_suffix(const std::string& format, const std::string& optimizer);
// <stem><output_suffix>.safetensors beside the input.
std::filesystem::path default_output(const std::filesystem::path& input, const Plan& plan, bool sharded);

}  // namespace octavo::plan
