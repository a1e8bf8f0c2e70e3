#include "plugin/trust.hpp"

#include "base/error.hpp"

#include <fmt/format.h>

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <sys/stat.h>

namespace octavo::plugin {
namespace {

[[noreturn]] void refuse(const std::string& reason) {
  throw Error(ErrorCode::unsupported, reason,
              "a plugin runs with all your rights: keep it where only you or root can write (chmod go-w)");
}

struct stat status_of(const std::filesystem::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0)
    throw Error(ErrorCode::io,
                fmt::format("'{}' cannot be looked at: {}", path.string(), std::strerror(errno)));
  return status;
}

// Owner and group of the running program; root's where it cannot be found out.
struct stat program_status() {
  struct stat status {};
  if (::stat("/proc/self/exe", &status) != 0) return {};
  return status;
}

void check_owner(const std::filesystem::path& path, const struct stat& status, const char* what) {
  const struct stat program = program_status();
  if (status.st_mode & S_IWOTH) refuse(fmt::format("{} '{}' is writable for everybody", what, path.string()));
  if (status.st_uid != 0 && status.st_uid != ::geteuid() && status.st_uid != program.st_uid) {
    refuse(fmt::format("{} '{}' belongs to user {}, who is neither root, nor you, nor the owner of octavo",
                       what, path.string(), status.st_uid));
  }
  if ((status.st_mode & S_IWGRP) && status.st_gid != 0 && status.st_gid != ::getegid() &&
      status.st_gid != program.st_gid) {
    refuse(fmt::format(
        "{} '{}' is writable for group {}, which is neither root's, nor yours, nor that of octavo", what,
        path.string(), status.st_gid));
  }
}

}  // namespace

void check_trust(const std::filesystem::path& path) {
  check_owner(path, status_of(path), "the file");
  std::filesystem::path folder = path.parent_path();
  check_owner(folder, status_of(folder), "the folder");
  while (folder != folder.root_path()) {
    folder = folder.parent_path();
    const struct stat status = status_of(folder);
    if ((status.st_mode & S_IWOTH) && !(status.st_mode & S_ISVTX))
      refuse(fmt::format("the folder '{}' above it is writable for everybody", folder.string()));
  }
}

}  // namespace octavo::plugin
