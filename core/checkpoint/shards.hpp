// One output in several files: which tensors go where, their names and their index.
#pragma once

#include "checkpoint/layout.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace octavo::checkpoint {

struct GroupedTensor {
  OutputTensor tensor;
  std::string group;  // tensors of one layer share a key and stay in one file; empty: on its own
};

// Exactly one of the two is not 0.
struct ShardRule {
  uint64_t count = 0;      // this many files, of nearly equal size
  uint64_t max_bytes = 0;  // no file over this size, header included, unless a single layer is
};

struct ShardSet {
  std::vector<std::string> names;  // model-00001-of-00003.safetensors ...
  std::vector<Layout> layouts;     // one for each name
  std::string index_name;          // model.safetensors.index.json
  std::string index_json;          // {"metadata": {"total_size": n}, "weight_map": {tensor: file}}

  uint64_t bytes() const;         // of all files and the index
  uint64_t largest_file() const;  // the bytes of one
};

// Cuts the groups, in the order in which they first appear, into files; `metadata` goes into each.
// Throws Error usage (no rule or both, more files than groups) and what lay_out throws.
ShardSet lay_out_shards(const std::map<std::string, std::string>& metadata,
                        std::vector<GroupedTensor> tensors, ShardRule rule,
                        const std::string& stem = "model");

// The index of these layouts, under their names. Throws Error bad_input for a tensor that is in two of them.
std::string index_text(const ShardSet& set);

}  // namespace octavo::checkpoint
