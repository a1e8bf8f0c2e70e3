#include "checkpoint/text_file.hpp"

#include "base/error.hpp"
#include "checkpoint/output_lock.hpp"
#include "checkpoint/preflight.hpp"
#include "checkpoint/writer.hpp"

#include <fmt/format.h>

#include <optional>

namespace octavo::checkpoint {

void write_text_file(const std::filesystem::path& path, std::string_view text, bool force,
                     std::span<const FileIdentity> inputs) {
  check_target(path, OutputKind::file, force, inputs);
  const std::filesystem::path temporary = sibling(path, part_suffix());
  const std::optional<File> file = File::create_new(temporary, mode_for_new_file());
  if (!file) throw Error(ErrorCode::io, fmt::format("[create] {}: exists", printable(temporary.string())));
  try {
    file->write_at(0, std::as_bytes(std::span(text)));
    file->sync();
    rename_path(temporary, path, force ? Replace::yes : Replace::no);
  } catch (...) {
    remove_quietly(temporary);
    throw;
  }
  sync_folder(folder_of(path));
}

}  // namespace octavo::checkpoint
