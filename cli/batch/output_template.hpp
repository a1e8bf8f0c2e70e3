// Where the outputs of a batch go: a name with places for what differs between them.
#pragma once

#include <filesystem>
#include <string>

namespace octavo::cli {

struct OutputParts {
  std::filesystem::path input;
  std::string format;
  std::string optimizer;
  bool sharded = false;
};

class OutputTemplate {
 public:
  // `text`: "" for names beside the inputs as `convert` gives them; a folder (it exists, or the text ends in
  // a slash, or has neither words nor the ending .safetensors or .sft) for these names in it; else a path
  // with {stem}, {name} (the input's file name), {folder} (that of the input), {format} and {optimizer}; {{
  // and }} are braces. Throws Error usage for another word in braces.
  explicit OutputTemplate(std::string text);

  std::filesystem::path path(const OutputParts& parts) const;

 private:
  std::string text_;
  bool is_folder_ = false;
};

}  // namespace octavo::cli
