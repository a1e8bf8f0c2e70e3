// What is known about the inputs of layers: sampled rows of a running model, and statistics over all of them.
//
// A calibration file is a safetensors file with, for a layer, `<layer>.inputs` (F32, BF16 or F16
// [samples, cols]), `.input_mean` [cols], signed, `.channel_max` [cols], of |x|, and `.input_scale` (one
// element); `__metadata__["octavo.inputs"]` is a JSON object from a layer to the layer whose inputs it
// shares. Or it is JSON: `{layer: {"input_mean": [...], "channel_max": [...], "input_scale": x}}` or `{layer:
// x}`.
// `__metadata__["octavo.source"]` "LoRA" says that the rows are not recorded (`octavo calibrate-from-lora`).
// `.channel_mean` of older files is a mean of |x|: it says nothing about a bias and is not used.
//
// Opening reads headers and statistics. Rows are read when somebody needs them, because those of all layers
// together may be larger than the model.
#pragma once

#include "base/file.hpp"
#include "calibration/file_contents.hpp"
#include "checkpoint/reader.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace octavo::calibration {

inline constexpr int64_t kDefaultRows = 2048;

// Inputs that one layer, or several, were given.
struct InputGroup {
  std::string name;  // the layer under whose name the file has them
  LayerContents contents;
  std::vector<int64_t> rows = {};  // of contents.samples, that are kept; ascending

  bool has_samples() const { return contents.samples != nullptr; }
  int64_t cols() const { return contents.cols(); }
};

struct Options {
  int64_t rows = kDefaultRows;  // at most so many of each group are kept
  uint64_t seed = 0;            // of the sample
};

// Reading is thread safe. Groups are alive, at their addresses, as long as the object is.
class Calibration {
 public:
  explicit Calibration(const Options& options = {}) : options_(options) {}
  Calibration(const Calibration&) = delete;
  Calibration& operator=(const Calibration&) = delete;

  // Adds a file; what an earlier one says about a layer and a statistic stays. Throws Error io for a file
  // that cannot be read, bad_input for one that is broken (see file_contents.hpp).
  void add(const std::filesystem::path& path);

  // Throws Error bad_input for a layer whose inputs are not as wide as its weight in `source`, and where no
  // layer of the files is in `source`. Returns what a person should know, one sentence each.
  std::vector<std::string> check_against(const checkpoint::Checkpoint& source) const;

  bool empty() const { return layers_.empty(); }
  const std::map<std::string, InputGroup, std::less<>>& groups() const { return groups_; }
  const InputGroup* find(std::string_view layer) const;  // nullptr: nothing is known
  // Kept rows [begin, begin + count) of a group that has samples, into `bytes`, packed, in their dtype.
  // Throws Error io, and bad_input, naming row and column, for a value that is not finite.
  void read(const InputGroup& group, int64_t begin, int64_t count, std::span<std::byte> bytes) const;

  // Looks at every file again. Throws Error bad_input if one was changed or replaced since it was added.
  void verify_unchanged() const;

  const std::vector<FileIdentity>& identities() const { return identities_; }
  const std::vector<std::string>& notes() const { return notes_; }
  // What the provenance names: XXH3-128 (hex) of the headers, statistics and some rows (of JSON files: the
  // texts), and the files' bytes.
  const std::string& hash() const { return hash_; }
  uint64_t bytes() const { return bytes_; }

 private:
  FileContents read_file(const std::filesystem::path& path);
  void identify(const std::string& hash, uint64_t bytes);
  void add_group(const std::string& layer, LayerContents contents);

  Options options_;
  std::map<std::string, InputGroup, std::less<>> groups_;
  std::map<std::string, std::string, std::less<>> layers_;                         // to the name of its group
  std::map<const checkpoint::TensorRef*, const checkpoint::Checkpoint*> holders_;  // of samples
  std::vector<std::unique_ptr<checkpoint::Checkpoint>> files_;
  std::map<std::filesystem::path, FileSnapshot> texts_;  // JSON files
  std::vector<FileIdentity> identities_;
  std::vector<std::string> notes_;
  std::string hash_;
  uint64_t bytes_ = 0;
};

}  // namespace octavo::calibration
