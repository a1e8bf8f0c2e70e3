#include "lora_options.hpp"

#include <limits>

namespace octavo::cli {
namespace {

constexpr const char* kSources = "LoRAs and quantized sources";

}  // namespace

std::vector<Option> lora_options() {
  return {
      {.name = "merge-lora",
       .value = "FILE[:STRENGTH]",
       .help = "merge a LoRA into the weights before anything else; the last one in order",
       .group = kSources,
       .repeats = true},
      {.name = "merge-loras",
       .value = "FILE[:STRENGTH]",
       .help = "merge several, in this order",
       .group = kSources,
       .repeats = true,
       .many = true},
      {.name = "merge-lora-scale",
       .value = "X",
       .help = "strength of all of them (default: 1)",
       .group = kSources},
      {.name = "merge-lora-dampen",
       .help = "the second counts 0.9, the third 0.81, and so on, which is the default",
       .group = kSources,
       .negatable = true},
      {.name = "allow-partial-lora",
       .help = "go on where some entries of a LoRA have no place or do not fit",
       .group = kSources},
      {.name = "requantize",
       .help = "dequantize layers that are INT8 already and quantize them again",
       .group = kSources},
  };
}

lora::Request read_loras(const Arguments& arguments) {
  lora::Request request;
  for (const char* option : {"merge-loras", "merge-lora"}) {
    for (const std::string& text : arguments.texts(option)) request.files.push_back(lora::parse_wanted(text));
  }
  constexpr double kMost = std::numeric_limits<float>::max();
  request.strength = arguments.number("merge-lora-scale", -kMost, kMost).value_or(1);
  request.dampen = arguments.flag("merge-lora-dampen", true);
  request.allow_partial = arguments.flag("allow-partial-lora");
  return request;
}

}  // namespace octavo::cli
