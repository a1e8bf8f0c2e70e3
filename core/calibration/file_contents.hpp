// What one calibration file says, in either of its forms.
#pragma once

#include "checkpoint/reader.hpp"

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace octavo::calibration {

// What is said under one layer's name; see calibration.hpp for the meanings.
struct LayerContents {
  const checkpoint::TensorRef* samples = nullptr;
  std::vector<float> mean = {};
  std::vector<float> channel_max = {};
  std::optional<float> input_scale = {};
  bool recorded =
      true;  // false: the samples stand in for inputs, and have no mean or maximum that is one of inputs

  bool has_mean() const { return !mean.empty() || (samples != nullptr && recorded); }
  // Width, as far as something says one; 0 if nothing does.
  int64_t cols() const;
};

// __metadata__["octavo.source"] of a file whose samples are directions that LoRAs read.
inline constexpr const char* kSourceKey = "octavo.source";
inline constexpr const char* kFromLora = "LoRA";

struct FileContents {
  std::map<std::string, LayerContents, std::less<>> layers;
  std::map<std::string, std::string, std::less<>> shared;  // layer to the layer whose inputs it shares
  std::vector<std::string> notes;                          // one sentence each
};

// Throw Error bad_input, naming file and entry, for values that are not finite, a negative channel maximum, a
// scale that is not positive, and shapes and dtypes that a calibration file does not have.
FileContents read_tensor_file(const checkpoint::Checkpoint& file, const std::string& shown);
FileContents read_json_text(const std::string& text, const std::string& shown);

// Shared by both forms: what the values of a statistic must be. `where` names file and entry.
void check_values(const std::vector<float>& values, bool may_be_negative, const std::string& where);
void check_scale(float scale, const std::string& where);
// Throws where the entries of one layer have different widths.
void check_widths(const FileContents& contents, const std::string& shown);

}  // namespace octavo::calibration
