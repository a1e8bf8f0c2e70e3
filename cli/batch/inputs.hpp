// The inputs of a batch: names, patterns, the files of a folder.
#pragma once

#include "options.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace octavo::cli {

// `text` as it is if something has that name, or if it holds no *, ? or [; else everything that matches it,
// in the order of the bytes. Throws Error io where nothing does.
std::vector<std::filesystem::path> expand(const std::string& text);

// The files of a folder whose name matches (hidden ones are left out). Throws Error io where the folder is
// missing or no file matches.
std::vector<std::filesystem::path> matching_files(const std::filesystem::path& folder,
                                                  const std::string& pattern);

// The inputs that --input (or what stands beside the options) or --directory names: each once, sorted by the
// bytes of their paths. An input without a pattern need not exist. Throws Error usage where neither or both
// are given.
std::vector<std::filesystem::path> batch_inputs(const Arguments& arguments);

// For telling whether two paths lead to the same place, which need not exist.
std::filesystem::path resolved(const std::filesystem::path& path);

}  // namespace octavo::cli
