// The options of a LoRA merge and of quantized sources.
#pragma once

#include "lora/merge_plan.hpp"
#include "options.hpp"

#include <vector>

namespace octavo::cli {

std::vector<Option> lora_options();

// In the order in which they are merged: --merge-loras, then --merge-lora. Throws Error usage for strengths
// that are no numbers, and where an option is given without a file.
lora::Request read_loras(const Arguments& arguments);

}  // namespace octavo::cli
