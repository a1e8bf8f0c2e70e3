// A file of text that a command writes beside a checkpoint: a page, a layer config to edit.
#pragma once

#include "base/file.hpp"

#include <filesystem>
#include <span>
#include <string_view>

namespace octavo::checkpoint {

// Writes it as a checkpoint is written: under a name of its own, to the disk, and only then under `path`.
// Checks the target first and throws what check_target throws, and Error io. Callers that work for long check
// it themselves before.
void write_text_file(const std::filesystem::path& path, std::string_view text, bool force,
                     std::span<const FileIdentity> inputs);

}  // namespace octavo::checkpoint
