// Which files make a checkpoint: one file, an index with its shards, or a folder that holds either.
#pragma once

#include "checkpoint/header.hpp"

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace octavo::checkpoint {

struct ShardIndex {
  std::map<std::string, std::string> weight_map;  // tensor name to shard name
  std::optional<double> total_size;  // bytes of all tensors as the index says (a float in some files)
};

// `json`: the text of a *.safetensors.index.json. Throws Error bad_input: no object, no weight_map, a key
// twice, a value that is no text, more tensors than the reader takes.
ShardIndex parse_index(const std::string& json, const std::string& file);

// The file a path means: itself, or in a folder diffusion_pytorch_model.safetensors[.index.json], else
// model.safetensors[.index.json], else the one index, else the one .safetensors in it.
// Throws Error io (nothing there) or bad_input (none or several candidates; the message names them).
std::filesystem::path find_checkpoint(const std::filesystem::path& path);

bool is_index(const std::filesystem::path& file);

// The path of a shard that `index` names, which lies in the same folder. Throws Error bad_input for a name
// that is not a plain file name, that is missing, or that is a symlink out of the folder (into the blobs of a
// Hugging Face cache is allowed).
std::filesystem::path shard_path(const std::filesystem::path& index, const std::string& shard);

}  // namespace octavo::checkpoint
