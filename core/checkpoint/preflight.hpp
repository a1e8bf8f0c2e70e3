// What can be known to go wrong with an output before anything is read or written.
#pragma once

#include "base/file.hpp"

#include <cstdint>
#include <filesystem>
#include <span>

namespace octavo::checkpoint {

enum class OutputKind { file, folder };

// Throws Error usage: `path` names one of the `inputs` (through any link), exists without `force`, or exists
// as something else than `kind` (folders: than a sharded set that holds no input). Throws Error io: its
// folder is missing, is a file, or cannot be written.
void check_target(const std::filesystem::path& path, OutputKind kind, bool force,
                  std::span<const FileIdentity> inputs);

// Throws Error io if `bytes` more do not fit the file system of `folder`, or `largest_file` exceeds what it
// or this process may hold in one file. Also turns SIGXFSZ off, so that a limit is an error and not a death.
void check_room(const std::filesystem::path& folder, uint64_t bytes, uint64_t largest_file);

// The folder that a path lies in; "." for a bare name.
std::filesystem::path folder_of(const std::filesystem::path& path);

// The path, absolute (a change of the current folder must not move the output) and without a slash at its
// end. Throws Error usage where no name is left ("", "/", ".."), and where a file is to be and the slash
// names a folder that is not there.
std::filesystem::path output_name(const std::filesystem::path& path, OutputKind kind);

// True for an empty folder, and for one with nothing in it but NAME.safetensors.index.json and files named
// NAME-00001-of-00002.safetensors.
bool is_output_folder(const std::filesystem::path& folder);

}  // namespace octavo::checkpoint
