// A LoRA file as a list of updates, all in memory as f32.
#pragma once

#include "base/file.hpp"
#include "lora/adapter.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace octavo::lora {

// An entry that cannot be used, and why, in words for people.
struct Problem {
  std::string entry;
  std::string why;
};

// An update and what it changes.
struct Target {
  std::shared_ptr<const Adapter> adapter;
  bool bias = false;  // of the layer's bias, not of its weight
};

struct LoraFile {
  std::string name;       // of the file, without its folder
  std::string data_hash;  // XXH3-128 of names and values, so that two trainings of one shape differ
  uint64_t bytes = 0;     // of the file
  std::vector<FileIdentity> identities;
  std::vector<Target> updates;
  std::vector<Problem> problems;  // missing partners, shapes that do not fit together, what is not supported
};

// Reads, pairs and checks. The scale of an update is alpha / rank: alpha is the tensor `.alpha`, else
// `<layer with '_'>_alpha` in the file's metadata, else what PEFT's configuration there says, else the rank.
// Throws Error as opening a checkpoint does, and bad_input for a value that is not finite.
LoraFile open_lora(const std::filesystem::path& path);

}  // namespace octavo::lora
