#include "checkpoint/preflight.hpp"

#include "base/bytes.hpp"
#include "base/error.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <regex>
#include <set>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>

namespace octavo::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kFatLimit = (uint64_t{1} << 32) - 1;
constexpr long kFatMagic = 0x4d44;  // MSDOS_SUPER_MAGIC, FAT of every width

Error refuse(ErrorCode code, const fs::path& path, const std::string& what, const std::string& hint = {}) {
  return Error(code, fmt::format("[output] {}: {}", printable(path.string()), what), hint);
}

void check_folder(const fs::path& folder) {
  std::error_code error;
  const fs::file_status status = fs::status(folder, error);
  if (!fs::exists(status)) throw refuse(ErrorCode::io, folder, "no such folder", "create it first");
  if (!fs::is_directory(status)) throw refuse(ErrorCode::io, folder, "not a folder");
  if (::access(folder.c_str(), W_OK | X_OK) != 0) throw refuse(ErrorCode::io, folder, std::strerror(errno));
}

bool is_input(const fs::path& path, std::span<const FileIdentity> inputs) {
  const std::optional<FileSnapshot> target = snapshot_of(path);
  return target && std::find(inputs.begin(), inputs.end(), target->identity) != inputs.end();
}

void check_existing_file(const fs::path& path, std::span<const FileIdentity> inputs) {
  if (is_input(path, inputs))
    throw refuse(ErrorCode::usage, path, "is the same file as an input", "choose another output");
  const fs::file_status status = fs::status(path);
  if (fs::is_directory(status)) throw refuse(ErrorCode::usage, path, "is a folder", "give a file name");
  if (fs::exists(status) && !fs::is_regular_file(status))
    throw refuse(ErrorCode::usage, path, "is not a regular file", "give a file name");
}

void check_existing_folder(const fs::path& path, bool force, std::span<const FileIdentity> inputs) {
  if (!fs::is_directory(fs::symlink_status(path)))
    throw refuse(ErrorCode::usage, path, "is not a folder",
                 "several files are written to a folder of their own");
  for (const fs::directory_entry& entry : fs::directory_iterator(path))
    if (is_input(entry.path(), inputs))
      throw refuse(ErrorCode::usage, path, "holds an input of this run", "choose another output");
  if (force && !is_output_folder(path))
    throw refuse(ErrorCode::usage, path, "holds something else than one index and its shards",
                 "--force replaces only a folder that octavo could have written");
}

}  // namespace

fs::path folder_of(const fs::path& path) { return path.parent_path().empty() ? "." : path.parent_path(); }

fs::path output_name(const fs::path& path, OutputKind kind) {
  std::error_code error;
  const bool ends_in_slash = !path.empty() && !path.has_filename();
  if (kind == OutputKind::file && ends_in_slash && !fs::exists(fs::symlink_status(path, error)))
    throw refuse(ErrorCode::usage, path, "names a folder, and the output is one file",
                 "give a file name, or --shards N");
  error.clear();
  fs::path name = path.empty() ? path : fs::absolute(path, error);
  if (error) throw refuse(ErrorCode::io, path, error.message());
  while (!name.has_filename() && name.has_relative_path()) name = name.parent_path();
  if (!name.has_filename() || name.filename() == "." || name.filename() == "..")
    throw refuse(ErrorCode::usage, path, "is not a name for an output");
  return name;
}

bool is_output_folder(const fs::path& folder) {
  static const std::regex shard(R"((.+)-\d{5}-of-\d{5}\.safetensors)");
  static const std::regex index(R"((.+)\.safetensors\.index\.json)");
  std::set<std::string> stems;
  size_t indices = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    std::smatch parts;
    const bool is_index = std::regex_match(name, parts, index);
    if (!is_index && !std::regex_match(name, parts, shard)) return false;
    if (!fs::is_regular_file(entry.symlink_status())) return false;
    stems.insert(parts[1]);
    indices += is_index ? 1 : 0;
  }
  return stems.empty() || (stems.size() == 1 && indices == 1);
}

void check_target(const fs::path& path, OutputKind kind, bool force,
                  std::span<const FileIdentity> inputs) try {
  check_folder(folder_of(path));
  if (!fs::exists(fs::symlink_status(path))) return;
  if (kind == OutputKind::file) check_existing_file(path, inputs);
  if (kind == OutputKind::folder) check_existing_folder(path, force, inputs);
  if (!force) throw refuse(ErrorCode::usage, path, "exists", "--force replaces it");
} catch (const fs::filesystem_error& error) {
  throw refuse(ErrorCode::io, path, error.code().message());
}

void check_room(const fs::path& folder, uint64_t bytes, uint64_t largest_file) {
  std::signal(SIGXFSZ, SIG_IGN);
  struct statvfs space {};
  if (::statvfs(folder.c_str(), &space) != 0) throw refuse(ErrorCode::io, folder, std::strerror(errno));
  const uint64_t free_bytes = checked_mul(space.f_bavail, space.f_frsize).value_or(UINT64_MAX);
  // File systems without a size of their own (an unlimited tmpfs) report 0 blocks.
  if (space.f_blocks != 0 && free_bytes < bytes)
    throw refuse(ErrorCode::io, folder,
                 fmt::format("{} are free, the output needs {} ({} bytes, {} too few)",
                             format_bytes(free_bytes), format_bytes(bytes), bytes, bytes - free_bytes));
  struct rlimit limit {};
  if (::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
      limit.rlim_cur < largest_file)
    throw refuse(ErrorCode::io, folder,
                 fmt::format("this process may write files of {} bytes, the output needs {}", limit.rlim_cur,
                             largest_file),
                 "raise the limit (ulimit -f)");
  struct statfs kind {};
  if (::statfs(folder.c_str(), &kind) == 0 && static_cast<long>(kind.f_type) == kFatMagic &&
      largest_file > kFatLimit)
    throw refuse(ErrorCode::io, folder,
                 fmt::format("a FAT file system holds files up to {} bytes, the output needs {}", kFatLimit,
                             largest_file),
                 "write several files (--shard-size 4GB)");
}

}  // namespace octavo::checkpoint
