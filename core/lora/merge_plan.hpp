// Which tensor of a checkpoint gets which updates, with which strength.
#pragma once

#include "checkpoint/reader.hpp"
#include "lora/adapter.hpp"
#include "lora/lora_file.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace octavo::lora {

struct WantedFile {
  std::filesystem::path path;
  double strength = 1;
};

// "FILE" or "FILE:0.8". A file whose name really ends so is meant if it exists. Throws Error usage for a
// strength that is not finite.
WantedFile parse_wanted(const std::string& text);

// What was asked for.
struct Request {
  std::vector<WantedFile> files;  // in the order in which they are merged
  double strength = 1;            // of all files
  bool dampen = true;             // the i-th file (from 0) counts 0.9^i
  bool allow_partial = false;     // entries without a place are listed, not refused
};

// One update of one tensor: rows [row_begin, row_begin + rows) += strength x update rows [from, from + rows).
struct Delta {
  std::shared_ptr<const Adapter> adapter;
  float strength = 1;  // with alpha / rank
  int64_t row_begin = 0;
  int64_t rows = 0;
  int64_t from = 0;
};

// What became of a file.
struct MergedFile {
  std::string name;
  std::string data_hash;
  uint64_t bytes = 0;
  double strength = 1;                 // with dampening
  size_t merged = 0;                   // updates
  size_t tensors = 0;                  // that they change
  std::vector<std::string> elsewhere;  // layers of networks that the checkpoint does not hold
  std::vector<Problem> problems;       // only with allow_partial
};

struct MergePlan {
  std::map<std::string, std::vector<Delta>, std::less<>>
      deltas;  // by the tensor's key, in the order of merging
  std::vector<MergedFile> files;
  std::vector<FileIdentity> identities;  // of the files, to keep an output off them
  bool allow_partial = false;

  // nullptr where nothing is merged into the tensor.
  const std::vector<Delta>* find(std::string_view tensor) const;
};

// Reads all files and finds a place for every update. A layer's name must match as a whole, after the
// prefixes of networks and exporters are cut off and with '.' and '_' taken for the same; names of another
// layout of the network and parts of fused weights are known (layouts.hpp); the ending of a key is enough if
// only one has it. Throws Error bad_input, naming file and entry, for a file that changes nothing, and
// (without allow_partial) for an entry that has no place or the wrong shape although its network is there.
MergePlan plan_merges(const Request& request, const checkpoint::Checkpoint& source);

}  // namespace octavo::lora
