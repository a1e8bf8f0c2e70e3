// Which LoRAs are merged into which model of a batch: a mapping, or the files of a folder with the model's
// name.
#pragma once

#include "lora/merge_plan.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace octavo::cli {

// An entry of a mapping: a key, and the files that it stands for.
struct MappedLoras {
  std::string key;
  std::vector<std::string> files;  // "FILE" or "FILE:STRENGTH", as written
};

// {"key": "FILE", "key": ["FILE", "FILE:0.8"]}; keys that begin with '_' are comments. `file` is for
// messages. Throws Error bad_input for what is no such object, and for a key that is there twice.
std::vector<MappedLoras> parse_lora_mapping(std::string_view text, const std::string& file);

class LoraChoice {
 public:
  // `all`: LoRAs for every model, which win over mapping and folder. Throws Error io for a mapping that
  // cannot be read and a folder that is none, bad_input as parse_lora_mapping.
  LoraChoice(std::vector<lora::WantedFile> all, const std::optional<std::string>& mapping,
             const std::optional<std::string>& folder);

  // In the order in which they are merged. The mapping's key may be the model's file name or its stem; else
  // the longest key that stands in the stem between its ends and the characters ". _ -" counts. Without one:
  // <folder>/<stem>.safetensors, else <folder>/<stem>_lora.safetensors, else none. Names of files without a
  // folder are looked for in `folder`, else beside the mapping.
  std::vector<lora::WantedFile> of(const std::filesystem::path& model);
  // Keys of the mapping that no model had any use for, asked so far.
  std::vector<std::string> unused() const;

 private:
  const MappedLoras* entry_for(const std::string& name, const std::string& stem) const;
  lora::WantedFile located(const std::string& file) const;

  std::vector<lora::WantedFile> all_;
  std::vector<MappedLoras> mapping_;
  std::vector<bool> used_;
  std::filesystem::path beside_;  // the mapping's folder
  std::filesystem::path folder_;
};

}  // namespace octavo::cli
